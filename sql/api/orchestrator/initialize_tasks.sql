-- for: orchestrator
-- planner: plan_cache_mode = force_generic_plan, enable_seqscan = off, jit = off
create function tasker.initialize_tasks(p_verdicts jsonb, p_orchestrator_id uuid default null)
returns table (
    initialized  int,
    failed       int,
    enqueued     int,
    next_due_ms  bigint
)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '100ms'
as $$
begin
    perform tasker.refuse_isolation();
    if tasker.limits() is not null then
        perform tasker.refuse_limited();
    end if;
    if jsonb_typeof(p_verdicts) <> 'array' then
        perform tasker.refuse_list(p_verdicts, 'p_verdicts');
    end if;
    perform tasker.set_actor(p_orchestrator_id);

    return query select * from tasker.initialize_apart(p_verdicts);
end
$$;
comment on function tasker.initialize_tasks(jsonb, uuid) is
    'Creates the steps of new tasks and sends those that are ready. '
    'p_verdicts: [{"msg_id","task_id"}] as taken, with "error": {"message","code"} if the context '
    'was refused. One call, one commit. Never waits for a lock: a request whose task is locked '
    'comes again in a moment. A task that cannot be started ends in error, with the code '
    'not_startable; the others are not affected.';
