create function tasker.steps_without_worker(p_task_ids uuid[], p_now timestamptz)
returns table (task_id uuid, step text, detail text)
language sql stable as $$
    with used as materialized (
        select p.template_id, p.name, p.handler, v.namespace
        from (
            select distinct t.template_id
            from tasker.tasks t
            where t.task_id = any (p_task_ids)
        ) i
        join tasker.templates v on v.template_id = i.template_id
        join tasker.template_steps p on p.template_id = i.template_id
    ), needed as materialized (
        select distinct u.namespace, u.handler
        from used u
    ), offered as materialized (
        -- Each worker's handlers are listed once, however many namespaces it has.
        select h.handler, w.namespaces
        from tasker.workers w
        cross join unnest(w.handlers) h(handler)
        where w.last_seen > p_now - interval '30 s'
          and h.handler in (select n.handler from needed n)
    ), served as materialized (
        select distinct n.namespace, n.handler
        from needed n
        join offered o
          on o.handler = n.handler
         and n.namespace = any (o.namespaces)
    ), lacking as materialized (
        -- No worker has the handler by its name; missing_worker looks for one that may have any.
        select n.namespace, n.handler
        from needed n
        where not exists (
            select from served s
            where s.namespace = n.namespace
              and s.handler = n.handler
        )
          and tasker.missing_worker(n.namespace, n.handler) is not null
    )
    -- Where every handler has its worker, no step is looked at. A step that is given back keeps
    -- the time it was first sent; one that was left by a worker that is gone may be parked as it
    -- was.
    select
        t.task_id,
        s.name,
        format(
            'no live worker of namespace %s has the handler %s; the step waits since %s',
            s.namespace,
            s.handler,
            s.enqueued_at
        )
    from tasker.tasks t
    cross join lateral (
        select s.name, s.enqueued_at, l.handler, l.namespace
        from tasker.steps s
        join used u
          on u.template_id = t.template_id
         and u.name = s.template_step
        join lacking l
          on l.namespace = u.namespace
         and l.handler = u.handler
        where s.task_id = t.task_id
          and (
              s.state = 'enqueued'
              or s.state = 'in_progress'
                 and exists (
                     select from tasker.parked_steps k
                     where k.task_id = s.task_id
                       and k.step = s.name
                 )
          )
          and s.enqueued_at <= p_now - make_interval(secs => (
              select c.max_without_worker_minutes * 60
              from tasker.settings c
          )::double precision)
        limit 1
    ) s
    where t.task_id = any (p_task_ids)
      and t.active > 0
      and exists (
          select from used u
          join lacking l
            on l.namespace = u.namespace
           and l.handler = u.handler
          where u.template_id = t.template_id
      )
$$;
comment on function tasker.steps_without_worker(uuid[], timestamptz) is
    'For each of these tasks one step that has waited too long for a worker with its handler, if '
    'any.';
