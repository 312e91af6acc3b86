create function tasker.make_first_steps(
    p_task_ids       uuid[],
    p_templates      uuid[],
    p_errors         jsonb[],
    p_now            timestamptz
)
returns tasker.first_steps
language plpgsql volatile as $$
declare
    v_made  tasker.first_steps;
begin
    with made as (
        insert into tasker.steps (
            task_id,
            name,
            template_step,
            decides,
            reveals,
            state,
            waiting_on,
            max_attempts,
            available_at,
            enqueued_at,
            updated_at,
            created_at
        )
        select
            given.task_id,
            tmpl.name,
            tmpl.name,
            tmpl.type in ('decision', 'batchable'),
            tmpl.reveals,
            (case
                when tmpl.parent_count = 0 and not (task.later or task.gated) then 'enqueued'
                else 'pending'
            end)::tasker.step_state,
            tmpl.parent_count,
            tmpl.max_attempts,
            case when tmpl.parent_count = 0 and task.later then task.run_at end,
            case when tmpl.parent_count = 0 and not (task.later or task.gated) then p_now end,
            p_now,
            p_now
        from unnest(p_task_ids, p_templates, p_errors) given(task_id, template_id, error)
        cross join lateral (
            select
                task.run_at,
                coalesce(task.run_at > p_now, false) as later,
                task.namespace in (
                    select gated.namespace from tasker.every_gated_namespace gated
                ) as gated
            from tasker.tasks task
            where task.task_id = given.task_id
            offset 0
        ) task
        join tasker.template_steps tmpl on tmpl.template_id = given.template_id and tmpl.initial
        where given.error is null
        order by given.task_id, tmpl.level, tmpl.position
        returning
            task_id,
            name,
            state,
            available_at,
            state = 'pending' and waiting_on = 0 and available_at is null as held
    ), counted as (
        select
            made.task_id,
            count(*)::int as steps,
            (count(*) filter (where made.state = 'enqueued'))::int as active,
            (count(*) filter (where made.held or made.available_at is not null))::int as held
        from made
        group by made.task_id
    )
    select
        (select array_agg(row(counted.*)::tasker.begun_task) from counted),
        array_agg(made.task_id) filter (where made.state = 'enqueued'),
        array_agg(made.name) filter (where made.state = 'enqueued'),
        array_agg(made.task_id) filter (where made.held),
        array_agg(made.name) filter (where made.held),
        min(made.available_at)
    into v_made
    from made;
    return v_made;
end
$$;
comment on function tasker.make_first_steps(uuid[], uuid[], jsonb[], timestamptz) is
    'Makes the first steps of new tasks that have no error. A step without parents is ready, '
    'unless its task has a start time (due: the first); it is held if its namespace is gated.';
