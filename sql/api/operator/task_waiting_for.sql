-- for: operator, readonly
-- planner: jit = off
create function tasker.task_waiting_for(p_task_id uuid)
returns text
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_reason  text;
begin
    -- The few handlers are found first, then their workers.
    select tasker.missing_worker(needed.namespace, needed.handler)
    into v_reason
    from (
        select distinct task.namespace, tmpl.handler
        from tasker.tasks task
        join tasker.steps step
          on step.task_id = task.task_id
         and step.state = 'enqueued'
        join tasker.template_steps tmpl
          on tmpl.template_id = task.template_id
         and tmpl.name = step.template_step
        where task.task_id = p_task_id
          and task.completed_at is null
    ) needed
    where tasker.missing_worker(needed.namespace, needed.handler) is not null
    order by needed.handler
    limit 1;

    -- Else a step may be ready that its namespace does not take now.
    if v_reason is null then
        select case
            when namespace.paused_at is not null then
                format('namespace %s is %s', namespace.namespace, namespace.pause_reason)
            else format(
                'namespace %s already has %s steps in its queue, its limit',
                namespace.namespace,
                namespace.max_depth
            )
        end
        into v_reason
        from tasker.tasks task
        join tasker.namespaces namespace on namespace.namespace = task.namespace
        where task.task_id = p_task_id
          and task.state = 'waiting_for_dependencies'
          and (namespace.paused_at is not null or namespace.max_depth is not null)
          and (
              (select tasker.limits()) is null
              or task.namespace = any ((select tasker.limits())::text[])
          )
          and exists (
              select from tasker.steps step
              where step.task_id = task.task_id
                and step.state = 'pending'
                and step.waiting_on = 0
                and coalesce(step.available_at, tasker.clock()) <= tasker.clock()
          );
    end if;
    return v_reason;
end
$$;
comment on function tasker.task_waiting_for(uuid) is
    'Why a task waits although its own state shows no reason: no live worker has the handler of '
    'one of its queued steps, or its namespace is paused or full; null: no such reason.';
