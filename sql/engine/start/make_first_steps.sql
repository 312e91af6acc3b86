create function tasker.make_first_steps(
    p_task_ids       uuid[],
    p_templates      uuid[],
    p_errors         jsonb[],
    p_now            timestamptz,
    out begun        tasker.begun_task[],
    out ready_tasks  uuid[],
    out ready_steps  text[],
    out held_tasks   uuid[],
    out held_steps   text[],
    out due          timestamptz
)
language plpgsql volatile as $$
begin
    with made as (
        insert into tasker.steps (
            task_id,
            name,
            template_step,
            decides,
            state,
            waiting_on,
            max_attempts,
            available_at,
            enqueued_at,
            updated_at,
            created_at
        )
        select
            r.task_id,
            p.name,
            p.name,
            p.type in ('decision', 'batchable'),
            (case
                when p.parent_count = 0 and not (t.later or t.gated) then 'enqueued'
                else 'pending'
            end)::tasker.step_state,
            p.parent_count,
            p.max_attempts,
            case when p.parent_count = 0 and t.later then t.run_at end,
            case when p.parent_count = 0 and not (t.later or t.gated) then p_now end,
            p_now,
            p_now
        from unnest(p_task_ids, p_templates, p_errors) r(task_id, template_id, error)
        cross join lateral (
            select
                t.run_at,
                coalesce(t.run_at > p_now, false) as later,
                t.namespace in (select g.namespace from tasker.every_gated_namespace g) as gated
            from tasker.tasks t
            where t.task_id = r.task_id
            offset 0
        ) t
        join tasker.template_steps p on p.template_id = r.template_id and p.initial
        where r.error is null
        order by r.task_id, p.level, p.position
        returning
            task_id,
            name,
            state,
            available_at,
            state = 'pending' and waiting_on = 0 and available_at is null as held
    ), counted as (
        select
            m.task_id,
            count(*)::int as steps,
            (count(*) filter (where m.state = 'enqueued'))::int as active,
            (count(*) filter (where m.held or m.available_at is not null))::int as held
        from made m
        group by m.task_id
    )
    select
        (select array_agg(row(c.*)::tasker.begun_task) from counted c),
        array_agg(m.task_id) filter (where m.state = 'enqueued'),
        array_agg(m.name) filter (where m.state = 'enqueued'),
        array_agg(m.task_id) filter (where m.held),
        array_agg(m.name) filter (where m.held),
        min(m.available_at)
    into begun, ready_tasks, ready_steps, held_tasks, held_steps, due
    from made m;
end
$$;
comment on function tasker.make_first_steps(uuid[], uuid[], jsonb[], timestamptz) is
    'Makes the first steps of new tasks that have no error. A step without parents is ready, '
    'unless its task has a start time (due: the first); it is held if its namespace is gated.';
