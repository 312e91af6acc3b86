create function tasker.advance_tasks(p_settled tasker.settled_step[], p_now timestamptz)
returns table (enqueued int, finished int, next_due_ms bigint)
language plpgsql volatile set search_path = '' as $$
declare
    v_ready_tasks  uuid[];
    v_ready_steps  text[];
begin
    -- 4. Count down the children of what was satisfied. What reaches zero is ready: known from here, never searched for.
    with satisfied as (
        select s.task_id, e.child, count(*)::int as n
          from unnest(p_settled) s
          join tasker.template_edges e on e.template_id = s.template_id and e.parent = s.template_step
         where s.state = 'complete'
         group by s.task_id, e.child
    ), counted as (
        update tasker.steps c
           set waiting_on = c.waiting_on - s.n, updated_at = p_now,
               state = case when c.waiting_on = s.n then 'enqueued' else c.state end,
               enqueued_at = case when c.waiting_on = s.n then p_now else c.enqueued_at end
          from satisfied s
         where c.task_id = s.task_id and c.name = s.child and c.state = 'pending'
        returning c.task_id, c.name, c.waiting_on
    )
    select array_agg(c.task_id), array_agg(c.name) into v_ready_tasks, v_ready_steps from counted c where c.waiting_on = 0;
    -- 5. One update for each task.
    finished := tasker.evaluate_tasks(p_settled, v_ready_tasks, p_now);
    -- 6. Send.
    perform tasker.send_steps(v_ready_tasks, v_ready_steps);
    enqueued := coalesce(cardinality(v_ready_tasks), 0);
    select tasker.ms_until(min(s.available_at)) into next_due_ms from unnest(p_settled) s;
    return next;
end
$$;
comment on function tasker.advance_tasks(tasker.settled_step[], timestamptz) is 'What follows from settled steps: children counted down, tasks evaluated, ready steps sent. The caller holds the tasks.';
