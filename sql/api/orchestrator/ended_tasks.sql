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
            t.task_id,
            t.namespace,
            t.name,
            v.version,
            t.state,
            t.correlation_id,
            t.traceparent,
            t.error ->> 'message',
            t.created_at,
            t.started_at,
            least(t.completed_at, coalesce(s.at, t.completed_at)),
            t.completed_at,
            r.at
        from unnest(v_task_ids) with ordinality i(task_id, n)
        cross join lateral (
            select * from tasker.tasks t where t.task_id = i.task_id offset 0
        ) t
        join tasker.templates v on v.template_id = t.template_id
        -- When its last result came in.
        cross join lateral (
            select max(a.at) as at
            from tasker.step_transitions a
            where a.task_id = i.task_id
              and a.to_state = 'enqueued_for_orchestration'
        ) s
        -- When it was begun again after an end in error.
        cross join lateral (
            select max(a.at) as at
            from tasker.task_transitions a
            where a.task_id = i.task_id
              and a.from_state = 'error'
        ) r
        order by i.n;
end
$$;
comment on function tasker.ended_tasks(int) is
    'The next p_max ended tasks, in the order of their end, each returned once, for the spans of '
    'their traces; fewer than p_max means that there are no more for now. '
    'Tasks that ended in the last five seconds come later; tasks that ended more than ten minutes '
    'ago are skipped. finalizing_at: when the last result came in; resumed_at: when a task in '
    'error was last restarted.';
