-- for: operator
-- planner: jit = off
create function tasker.retry_tasks(
    p_filter  jsonb,
    p_reason  text default null,
    p_by      text default null,
    p_max     int default 100
)
returns int
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_task_ids  uuid[] := tasker.match_tasks(p_filter, '{blocked_by_failures,error}', p_max, true);
begin
    perform tasker.set_actor(null, tasker.audit_reason('retried', p_by, p_reason));
    perform tasker.replay_tasks(v_task_ids);
    perform tasker.set_actor(null);
    return cardinality(v_task_ids);
end
$$;
comment on function tasker.retry_tasks(jsonb, text, text, int) is
    'Resumes up to p_max tasks in blocked_by_failures or error that match p_filter: failed steps '
    'run again with all their attempts, completed results are kept. '
    'Skips tasks locked by another transaction. Returns how many: call again until 0. '
    'Errors: TK030 filter, TK008 p_max.';
