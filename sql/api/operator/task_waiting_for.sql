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
    select tasker.missing_worker(h.namespace, h.handler)
    into v_reason
    from (
        select distinct t.namespace, p.handler
        from tasker.tasks t
        join tasker.steps s
          on s.task_id = t.task_id
         and s.state = 'enqueued'
        join tasker.template_steps p
          on p.template_id = t.template_id
         and p.name = s.template_step
        where t.task_id = p_task_id
          and t.completed_at is null
    ) h
    where tasker.missing_worker(h.namespace, h.handler) is not null
    order by h.handler
    limit 1;

    -- Else a step may be ready that its namespace does not take now.
    if v_reason is null then
        select case
            when n.paused_at is not null then
                format('namespace %s is %s', n.namespace, n.pause_reason)
            else format(
                'namespace %s already has %s steps in its queue, its limit',
                n.namespace,
                n.max_depth
            )
        end
        into v_reason
        from tasker.tasks t
        join tasker.namespaces n on n.namespace = t.namespace
        where t.task_id = p_task_id
          and t.state = 'waiting_for_dependencies'
          and (n.paused_at is not null or n.max_depth is not null)
          and (
              (select tasker.limits()) is null
              or t.namespace = any ((select tasker.limits())::text[])
          )
          and exists (
              select from tasker.steps s
              where s.task_id = t.task_id
                and s.state = 'pending'
                and s.waiting_on = 0
                and coalesce(s.available_at, tasker.clock()) <= tasker.clock()
          );
    end if;
    return v_reason;
end
$$;
comment on function tasker.task_waiting_for(uuid) is
    'Why a task waits although its own state shows no reason: no live worker has the handler of '
    'one of its queued steps, or its namespace is paused or full; null: no such reason.';
