create function tasker.worker_queue(p_namespace text) returns text
language sql immutable parallel safe as $$
    select 'worker_' || p_namespace || '_queue'
$$;
comment on function tasker.worker_queue(text) is 'The name of a namespace''s queue.';
