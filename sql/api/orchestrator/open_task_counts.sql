-- for: orchestrator, operator, readonly
-- planner: enable_seqscan = off, jit = off
create function tasker.open_task_counts()
returns table (
    namespace            text,
    template             text,
    state                text,
    tasks                bigint,
    oldest_move_seconds  float8,
    waiting              bigint,
    held                 bigint,
    waiting_for_retry    bigint,
    active               bigint,
    failed               bigint
)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_now  timestamptz := tasker.clock();
begin
    -- By the index tasks_unfinished, so that tasks which have finished cost nothing. Steps are not
    -- read: a task's counters say how many there are.
    return query
        select
            v.namespace,
            v.name,
            o.state::text,
            coalesce(sum(o.tasks), 0)::bigint,
            greatest(extract(epoch from v_now - min(o.moved)), 0)::float8,
            coalesce(
                sum(o.remaining - o.active - o.held - o.waiting_retry - o.failed), 0
            )::bigint,
            coalesce(sum(o.held), 0)::bigint,
            coalesce(sum(o.waiting_retry), 0)::bigint,
            coalesce(sum(o.active), 0)::bigint,
            coalesce(sum(o.failed), 0)::bigint
        from tasker.templates v
        left join (
            select
                t.template_id,
                t.state,
                count(*) as tasks,
                min(greatest(t.updated_at, t.run_at)) as moved,
                sum(t.remaining) as remaining,
                sum(t.active) as active,
                sum(t.held) as held,
                sum(t.waiting_retry) as waiting_retry,
                sum(t.failed) as failed
            from tasker.tasks t
            where t.completed_at is null
            group by t.template_id, t.state
        ) o on o.template_id = v.template_id
        where (
            (select tasker.limits()) is null
            or v.namespace = any ((select tasker.limits())::text[])
        )
        group by v.namespace, v.name, o.state
        order by 4 desc, 1, 2, 3;
end
$$;
comment on function tasker.open_task_counts() is
    'Unfinished tasks by namespace, template (all versions), and state, most first, and their '
    'steps: waiting (for others), held, waiting_for_retry, active (queued, running, or with a '
    'result to process), failed. oldest_move_seconds: age of the oldest last move of a task, '
    'counted from its start time at the earliest. A template without unfinished tasks has state '
    'null.';
