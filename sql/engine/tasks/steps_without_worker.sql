create function tasker.steps_without_worker(p_task_ids uuid[], p_now timestamptz)
returns table (task_id uuid, step text, detail text)
language sql stable as $$
    with used as materialized (
        select tmpl.template_id, tmpl.name, tmpl.handler, template.namespace
        from (
            select distinct task.template_id
            from tasker.tasks task
            where task.task_id = any (p_task_ids)
        ) run
        join tasker.templates template on template.template_id = run.template_id
        join tasker.template_steps tmpl on tmpl.template_id = run.template_id
    ), needed as materialized (
        select distinct used.namespace, used.handler
        from used
    ), offered as materialized (
        -- Each worker's handlers are listed once, however many namespaces it has.
        select offer.handler, worker.namespaces
        from tasker.workers worker
        cross join unnest(worker.handlers) offer(handler)
        where worker.last_seen > p_now - interval '30 s'
          and offer.handler in (select needed.handler from needed)
    ), served as materialized (
        select distinct needed.namespace, needed.handler
        from needed
        join offered
          on offered.handler = needed.handler
         and needed.namespace = any (offered.namespaces)
    ), lacking as materialized (
        -- No worker has the handler by its name; missing_worker looks for one that may have any.
        select needed.namespace, needed.handler
        from needed
        where not exists (
            select from served
            where served.namespace = needed.namespace
              and served.handler = needed.handler
        )
          and tasker.missing_worker(needed.namespace, needed.handler) is not null
    )
    -- Where every handler has its worker, no step is looked at. A step that is given back keeps
    -- the time it was first sent; one that was left by a worker that is gone may be parked as it
    -- was.
    select
        task.task_id,
        step.name,
        format(
            'no live worker of namespace %s has the handler %s; the step waits since %s',
            step.namespace,
            step.handler,
            step.enqueued_at
        )
    from tasker.tasks task
    cross join lateral (
        select step.name, step.enqueued_at, lacking.handler, lacking.namespace
        from tasker.steps step
        join used
          on used.template_id = task.template_id
         and used.name = step.template_step
        join lacking
          on lacking.namespace = used.namespace
         and lacking.handler = used.handler
        where step.task_id = task.task_id
          and (
              step.state = 'enqueued'
              or step.state = 'in_progress'
                 and exists (
                     select from tasker.parked_steps parked
                     where parked.task_id = step.task_id
                       and parked.step = step.name
                 )
          )
          and step.enqueued_at <= p_now - make_interval(secs => (
              select settings.max_without_worker_minutes * 60
              from tasker.settings
          )::double precision)
        limit 1
    ) step
    where task.task_id = any (p_task_ids)
      and task.active > 0
      and exists (
          select from used
          join lacking
            on lacking.namespace = used.namespace
           and lacking.handler = used.handler
          where used.template_id = task.template_id
      )
$$;
comment on function tasker.steps_without_worker(uuid[], timestamptz) is
    'For each of these tasks one step that has waited too long for a worker with its handler, if '
    'any.';
