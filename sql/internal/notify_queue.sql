create function tasker.notify_queue(p_queue text) returns void
language sql volatile set search_path = '' as $$
    -- PostgreSQL folds equal notifications of one transaction into one.
    select pg_catalog.pg_notify('tasker_' || p_queue, '')
$$;
comment on function tasker.notify_queue(text) is 'Wakes those who listen for messages in a queue (channel tasker_<queue>), at commit.';
