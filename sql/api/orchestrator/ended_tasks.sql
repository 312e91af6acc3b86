-- for: orchestrator
-- planner: plan_cache_mode = force_generic_plan, enable_seqscan = off, jit = off
create function tasker.ended_tasks(p_max int)
returns table (
    task_id         uuid,
    namespace       text,
    name            text,
    version         text,
    state           tasker.task_state,
    correlation_id  uuid,
    traceparent     text,
    error           text,
    created_at      timestamptz,
    started_at      timestamptz,
    finalizing_at   timestamptz,
    completed_at    timestamptz,
    resumed_at      timestamptz
)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '1s'
as $$
declare
    v_task_ids  uuid[];
begin
    perform tasker.refuse_isolation();
    if tasker.limits() is not null then
        perform tasker.refuse_limited();
    end if;
    perform tasker.check_max(p_max);

    v_task_ids := tasker.take_ended_tasks(p_max);
    return query
        select
            task.task_id,
            task.namespace,
            task.name,
            template.version,
            task.state,
            task.correlation_id,
            task.traceparent,
            task.error ->> 'message',
            task.created_at,
            task.started_at,
            least(task.completed_at, coalesce(result.at, task.completed_at)),
            task.completed_at,
            restart.at
        from unnest(v_task_ids) with ordinality ended(task_id, n)
        cross join lateral (
            select * from tasker.tasks task where task.task_id = ended.task_id offset 0
        ) task
        join tasker.templates template on template.template_id = task.template_id
        -- When its last result came in.
        cross join lateral (
            select max(hop.at) as at
            from tasker.step_transitions hop
            where hop.task_id = ended.task_id
              and hop.to_state = 'enqueued_for_orchestration'
        ) result
        -- When it was begun again after an end in error.
        cross join lateral (
            select max(hop.at) as at
            from tasker.task_transitions hop
            where hop.task_id = ended.task_id
              and hop.from_state = 'error'
        ) restart
        order by ended.n;
end
$$;
comment on function tasker.ended_tasks(int) is
    'The next p_max ended tasks, in the order of their end, each returned once, for the spans of '
    'their traces; fewer than p_max means that there are no more for now. '
    'Tasks that ended in the last five seconds come later; tasks that ended more than ten minutes '
    'ago are skipped. finalizing_at: when the last result came in; resumed_at: when a task in '
    'error was last restarted.';
