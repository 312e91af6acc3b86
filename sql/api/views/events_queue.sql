-- for: orchestrator, operator, readonly
create function tasker.events_queue(p_namespace text)
returns text
-- Written as worker_queue is, for the same reasons.
language sql immutable parallel safe
return p_namespace || '_domain_events';
comment on function tasker.events_queue(text) is
    'The name of the queue of a namespace''s domain events.';
