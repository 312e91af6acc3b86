create function tasker.send_beside(
    p_task_ids       uuid[],
    p_steps          text[],
    out other_tasks  uuid[],
    out other_steps  text[]
)
language plpgsql volatile as $$
declare
    v_namespaces  text[];
    v_handlers    text[];
    v_task_ids    uuid[];
    v_steps       text[];
begin
    select
        array_agg(given.task_id order by given.n) filter (where parked.handler is null),
        array_agg(given.step order by given.n) filter (where parked.handler is null),
        array_agg(parked.namespace order by given.n) filter (where parked.handler is not null),
        array_agg(parked.handler order by given.n) filter (where parked.handler is not null),
        array_agg(given.task_id order by given.n) filter (where parked.handler is not null),
        array_agg(given.step order by given.n) filter (where parked.handler is not null)
    into
        other_tasks,
        other_steps,
        v_namespaces,
        v_handlers,
        v_task_ids,
        v_steps
    from unnest(p_task_ids, p_steps) with ordinality given(task_id, step, n)
    left join lateral (
        select parked.namespace, parked.handler
        from tasker.steps step
        join tasker.tasks task on task.task_id = step.task_id
        cross join lateral tasker.template_step(task.template_id, step.template_step) tmpl
        join tasker.parked_handlers parked
          on parked.namespace = task.namespace
         and parked.handler = tmpl.handler
        where step.task_id = given.task_id
          and step.name = given.step
        limit 1
    ) parked on true;

    if v_task_ids is not null then
        perform tasker.park_steps(v_namespaces, v_handlers, v_task_ids, v_steps);
        perform tasker.notify_queue(tasker.worker_queue(wake.namespace))
        from (
            select distinct parked.namespace
            from unnest(v_namespaces) parked(namespace)
        ) wake;
    end if;
end
$$;
comment on function tasker.send_beside(uuid[], text[]) is
    'Parks the steps whose handler some worker of the namespace lacks, and wakes the workers once; '
    'returns the other steps.';
