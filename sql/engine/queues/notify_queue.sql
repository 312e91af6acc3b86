create function tasker.notify_queue(p_queue text) returns void
language plpgsql volatile as $$
begin
    -- PostgreSQL folds equal notifications of one transaction into one.
    perform pg_catalog.pg_notify('tasker_' || p_queue, '');
end
$$;
comment on function tasker.notify_queue(text) is
    'Wakes those who listen for messages in a queue (channel tasker_<queue>), at commit.';
