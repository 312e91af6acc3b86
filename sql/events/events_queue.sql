create function tasker.events_queue(p_namespace text) returns text
-- As worker_queue.
language sql immutable parallel safe
return p_namespace || '_domain_events';
comment on function tasker.events_queue(text) is 'The name of the queue of a namespace''s domain events.';
