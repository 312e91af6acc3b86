-- for: orchestrator, operator, readonly
create function tasker.worker_queue(p_namespace text)
returns text
-- Parsed when it is created, not with the search_path of its caller; and PostgreSQL can still take
-- it into the caller's statement.
language sql immutable parallel safe
return 'worker_' || p_namespace || '_queue';
comment on function tasker.worker_queue(text) is
    'The name of a namespace''s queue.';
