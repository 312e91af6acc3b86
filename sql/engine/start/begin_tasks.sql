create function tasker.begin_tasks(
    p_task_ids       uuid[],
    p_errors         jsonb[],
    p_begun          tasker.begun_task[],
    p_now            timestamptz,
    out initialized  int,
    out failed       int
)
language plpgsql volatile as $$
begin
    with moved as (
        update tasker.tasks t
        set state = (case
                when n.error is not null then 'error'
                when n.steps = 0 then 'complete'
                when n.active > 0 then 'steps_in_process'
                else 'waiting_for_dependencies'
            end)::tasker.task_state,
            via = case
                when n.active > 0 then '{initializing,enqueuing_steps}'
                else '{initializing}'
            end::tasker.task_state[],
            move_no = t.move_no + 1,
            remaining = n.steps,
            active = n.active,
            held = n.held,
            error = n.error,
            result = (n.made).value,
            output_errors = (n.made).error,
            updated_at = p_now,
            started_at = p_now,
            completed_at = case when n.error is not null or n.steps = 0 then p_now end
        from (
            select
                r.task_id,
                r.error,
                coalesce(b.steps, 0) as steps,
                coalesce(b.active, 0) as active,
                coalesce(b.held, 0) as held,
                -- Where no step exists, the task is complete.
                case
                    when r.error is null and coalesce(b.steps, 0) = 0
                        then tasker.task_output(r.task_id, q.template_id)
                end as made
            from unnest(p_task_ids, p_errors) r(task_id, error)
            cross join lateral (
                select t.template_id from tasker.tasks t where t.task_id = r.task_id offset 0
            ) q
            left join unnest(p_begun) b on b.task_id = r.task_id
            offset 0
        ) n
        where t.task_id = n.task_id
        returning t.state
    )
    select
        count(*) filter (where m.state <> 'error'),
        count(*) filter (where m.state = 'error')
    into initialized, failed
    from moved m;
end
$$;
comment on function tasker.begin_tasks(uuid[], jsonb[], tasker.begun_task[], timestamptz) is
    'Moves tasks out of pending, each by its error and the steps that it has now.';
