create function tasker.hold_steps(p_task_ids uuid[], p_steps text[]) returns void
language plpgsql volatile as $$
begin
    insert into tasker.held_steps (
        task_id,
        step,
        namespace,
        priority,
        place
    )
    select
        given.task_id,
        given.step,
        task.namespace,
        task.priority,
        case
            when exists (select from tasker.parked_handlers) then coalesce(
                (
                    select tmpl.handler
                    from tasker.steps step
                    cross join lateral tasker.template_step(
                        task.template_id,
                        step.template_step
                    ) tmpl
                    where step.task_id = given.task_id
                      and step.name = given.step
                      and exists (
                        select from tasker.parked_handlers parked
                        where parked.namespace = task.namespace
                          and parked.handler = tmpl.handler
                      )
                ),
                ''
            )
            else ''
        end
    from unnest(p_task_ids, p_steps) given(task_id, step)
    cross join lateral (
        select *
        from tasker.tasks task
        where task.task_id = given.task_id
        offset 0
    ) task
    order by task.task_id, given.step
    on conflict do nothing;
end
$$;
comment on function tasker.hold_steps(uuid[], text[]) is
    'Records ready steps of namespaces that take none now, for enqueue_ready_steps. '
    'The caller holds the tasks and counts the steps as held.';
