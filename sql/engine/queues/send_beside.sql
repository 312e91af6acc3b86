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
        array_agg(i.task_id order by i.n) filter (where h.handler is null),
        array_agg(i.step order by i.n) filter (where h.handler is null),
        array_agg(h.namespace order by i.n) filter (where h.handler is not null),
        array_agg(h.handler order by i.n) filter (where h.handler is not null),
        array_agg(i.task_id order by i.n) filter (where h.handler is not null),
        array_agg(i.step order by i.n) filter (where h.handler is not null)
    into
        other_tasks,
        other_steps,
        v_namespaces,
        v_handlers,
        v_task_ids,
        v_steps
    from unnest(p_task_ids, p_steps) with ordinality i(task_id, step, n)
    left join lateral (
        select h.namespace, h.handler
        from tasker.steps s
        join tasker.tasks t on t.task_id = s.task_id
        cross join lateral tasker.template_step(t.template_id, s.template_step) p
        join tasker.parked_handlers h
          on h.namespace = t.namespace
         and h.handler = p.handler
        where s.task_id = i.task_id
          and s.name = i.step
        limit 1
    ) h on true;

    if v_task_ids is not null then
        perform tasker.park_steps(v_namespaces, v_handlers, v_task_ids, v_steps);
        perform tasker.notify_queue(tasker.worker_queue(n.namespace))
        from (
            select distinct u.namespace
            from unnest(v_namespaces) u(namespace)
        ) n;
    end if;
end
$$;
comment on function tasker.send_beside(uuid[], text[]) is
    'Parks the steps whose handler some worker of the namespace lacks, and wakes the workers once; '
    'returns the other steps.';
