-- for: orchestrator, operator, readonly
-- requires: api/views/find_limits.sql
create function tasker.limits() returns text[]
-- One expression, which PostgreSQL takes into the caller's: without any limit a call costs next to
-- nothing. limit_logins puts another in its place.
language sql stable parallel safe
return case
    when coalesce(current_setting('tasker.namespaces', true), '') = '' then null
    else tasker.find_limits()
end;
comment on function tasker.limits() is
    'The namespaces that this login, and this call of the HTTP API, may use; null: all.';
