create function tasker.events_queue(p_namespace text) returns text
language sql immutable parallel safe as $$
    select p_namespace || '_domain_events'
$$;
comment on function tasker.events_queue(text) is 'The name of the queue of a namespace''s domain events.';
