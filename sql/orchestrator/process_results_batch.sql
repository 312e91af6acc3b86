create function tasker.process_results_batch(p_msg_ids bigint[], p_messages jsonb[])
returns table (enqueued int, finished int, next_due_ms bigint)
-- The phases and their order: docs/decisions.md, "A results batch". Arrays carry rows from one phase to the next.
language plpgsql volatile set search_path = '' as $$
declare
    v_now          timestamptz := tasker.now();
    v_task_ids     uuid[];
    v_steps        text[];
    v_claim_nos    int[];
    v_settled      tasker.settled_step[];
    v_ready_tasks  uuid[];
    v_ready_steps  text[];
begin
    -- 1. Read the messages; what is no result goes to the dead letters.
    select tasker.to_uuids(array_agg(m.message ->> 'task_id')), array_agg(m.message ->> 'step'), tasker.to_ints(array_agg(m.message ->> 'claim_no'))
      into v_task_ids, v_steps, v_claim_nos
      from unnest(p_messages) m(message);
    perform tasker.dead_letter('orchestration_step_results', m.msg_id, m.message, 'a result must be {"task_id","step","claim_no"}')
       from unnest(p_msg_ids, p_messages, v_task_ids, v_steps, v_claim_nos) m(msg_id, message, task_id, step, claim_no)
      where m.task_id is null or m.step is null or m.claim_no is null;
    -- 2. Lock the tasks, in order. Everything about a task is decided under its lock.
    perform 1 from tasker.tasks t where t.task_id = any (v_task_ids) order by t.task_id for no key update;
    -- 3. Settle the steps.
    v_settled := tasker.settle_steps(v_task_ids, v_steps, v_claim_nos, v_now);
    -- 4. Count down the children of what was satisfied. What reaches zero is ready: known from here, never searched for.
    with satisfied as (
        select s.task_id, e.child, count(*)::int as n
          from unnest(v_settled) s
          join tasker.template_edges e on e.template_id = s.template_id and e.parent = s.template_step
         where s.state = 'complete'
         group by s.task_id, e.child
    ), counted as (
        update tasker.steps c
           set waiting_on = c.waiting_on - s.n, updated_at = v_now,
               state = case when c.waiting_on = s.n then 'enqueued' else c.state end,
               enqueued_at = case when c.waiting_on = s.n then v_now else c.enqueued_at end
          from satisfied s
         where c.task_id = s.task_id and c.name = s.child and c.state = 'pending'
        returning c.task_id, c.name, c.waiting_on
    )
    select array_agg(c.task_id), array_agg(c.name) into v_ready_tasks, v_ready_steps from counted c where c.waiting_on = 0;
    -- 5. One update for each task.
    finished := tasker.evaluate_tasks(v_settled, v_ready_tasks, v_now);
    -- 6. Send.
    perform tasker.send_steps(v_ready_tasks, v_ready_steps);
    enqueued := coalesce(cardinality(v_ready_tasks), 0);
    select tasker.ms_until(min(s.available_at)) into next_due_ms from unnest(v_settled) s;
    return next;
end
$$;
comment on function tasker.process_results_batch(bigint[], jsonb[]) is 'The work of process_step_results for one batch, all or nothing.';
