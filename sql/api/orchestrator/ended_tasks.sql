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
    v_now       timestamptz := tasker.clock();
    -- Commits become visible later than the times they carry.
    v_until     timestamptz := v_now - interval '5 s';
    v_from      timestamptz;
    v_after     uuid;
    v_task_ids  uuid[];
begin
    perform tasker.refuse_isolation();
    if tasker.limits() is not null then
        perform tasker.refuse_limited();
    end if;
    perform tasker.check_max(p_max);

    -- One process does this at a time. It reaches back ten minutes at most, since backends refuse
    -- old spans: what ended while nobody traced is of no use much later.
    select
        greatest(w.upto, v_now - interval '10 min'),
        case when w.upto >= v_now - interval '10 min' then w.after end
    into v_from, v_after
    from tasker.sweeps w
    where w.name = 'traces'
    for no key update skip locked;
    if not found then
        return;
    end if;
    -- Where the clock has gone back, the search starts from now.
    v_from := least(v_from, v_now);
    v_after := coalesce(v_after, '00000000-0000-0000-0000-000000000000');

    -- The next tasks in the order of their end, from each template by its index.
    select array_agg(e.task_id order by e.completed_at, e.task_id)
    into v_task_ids
    from (
        select o.*
        from tasker.templates v
        cross join lateral (
            select t.task_id, t.completed_at
            from tasker.tasks t
            where t.template_id = v.template_id
              and t.completed_at >= v_from
              and t.completed_at <= v_until
              and (t.completed_at > v_from or t.task_id > v_after)
            order by t.completed_at, t.task_id
            limit p_max
        ) o
        order by o.completed_at, o.task_id
        limit p_max
    ) e;

    -- The next call goes on after the last of these tasks.
    if cardinality(v_task_ids) = p_max then
        v_after := v_task_ids[p_max];
        v_from := (select t.completed_at from tasker.tasks t where t.task_id = v_after);
    else
        v_after := 'ffffffff-ffff-ffff-ffff-ffffffffffff';
        v_from := greatest(v_from, v_until);
    end if;
    update tasker.sweeps w
    set upto = v_from,
        after = v_after,
        ran_at = v_now
    where w.name = 'traces';

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
    'The next p_max tasks that have ended, in the order of their end, each handed out once, '
    'for the spans of their traces; after less than p_max there are no more for now. '
    'Those that ended in the last five seconds come later, '
    'those that ended more than ten minutes ago never. '
    'finalizing_at: when the last result came in; '
    'resumed_at: when a task in error was begun again for the last time.';
