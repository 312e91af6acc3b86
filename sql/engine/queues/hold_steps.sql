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
        i.task_id,
        i.step,
        t.namespace,
        t.priority,
        case
            when exists (select from tasker.parked_handlers) then coalesce(
                (
                    select p.handler
                    from tasker.steps s
                    cross join lateral tasker.template_step(t.template_id, s.template_step) p
                    where s.task_id = i.task_id
                      and s.name = i.step
                      and exists (
                        select from tasker.parked_handlers h
                        where h.namespace = t.namespace
                          and h.handler = p.handler
                      )
                ),
                ''
            )
            else ''
        end
    from unnest(p_task_ids, p_steps) i(task_id, step)
    cross join lateral (
        select *
        from tasker.tasks t
        where t.task_id = i.task_id
        offset 0
    ) t
    order by t.task_id, i.step
    on conflict do nothing;
end
$$;
comment on function tasker.hold_steps(uuid[], text[]) is
    'Records ready steps of namespaces that take none now, for enqueue_ready_steps. '
    'The caller holds the tasks and counts the steps as held.';
