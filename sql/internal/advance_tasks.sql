create function tasker.advance_tasks(p_settled tasker.settled_step[], p_now timestamptz, p_failing uuid[] default '{}', p_claim int default 0,
    p_handlers text[] default '{}', p_worker_id uuid default null, p_lease int default null)
returns table (enqueued int, held int, finished int, claimed_tasks uuid[], claimed_steps text[])
language plpgsql volatile as $$
declare
    v_task_ids     uuid[];
    v_steps        text[];
    v_counts       int[];
    v_sent         boolean[];
    v_ready_tasks  uuid[];
    v_ready_held   boolean[];
    v_sent_tasks   uuid[];
    v_sent_steps   text[];
    v_held_tasks   uuid[];
    v_held_steps   text[];
    v_msg_ids      bigint[];
begin
    -- 4. Count down the children of what was satisfied. What reaches zero is ready: known from here, never searched for.
    -- Read first, as a claim is written together with its message; the caller holds the tasks, so that nobody else counts.
    with satisfied as (
        select s.task_id, s.template_id, e.child, count(*)::int as n
          from unnest(p_settled) s
          join tasker.template_edges e on e.template_id = s.template_id and e.parent = s.template_step
         where s.state = 'complete'
         group by s.task_id, s.template_id, e.child
    ), counted as (
        select s.task_id, c.name, s.n, c.waiting_on = s.n as ready,
               c.waiting_on = s.n and exists (select from tasker.gated_namespaces)
                   and (select t.namespace from tasker.tasks t where t.task_id = s.task_id) in (select g.namespace from tasker.gated_namespaces g) as held,
               -- A step with a lease of its own is claimed from its queue, where that can be set.
               p_claim > 0 and c.waiting_on = s.n and (select p.handler = any (p_handlers) and p.lease is null from tasker.template_steps p
                                                        where p.template_id = s.template_id and p.name = c.template_step) as may_claim
          from satisfied s
         cross join lateral (select * from tasker.steps c where c.task_id = s.task_id and c.name = s.child and c.state = 'pending' offset 0) c
    ), chosen as (
        select c.*, not c.held and c.may_claim and row_number() over (order by not c.held and c.may_claim desc, c.task_id, c.name) <= p_claim as claimed from counted c
    )
    select array_agg(c.task_id), array_agg(c.name), array_agg(c.n), array_agg(c.ready and not c.held),
           array_agg(c.task_id) filter (where c.ready), array_agg(c.held) filter (where c.ready),
           array_agg(c.task_id) filter (where c.ready and not c.held and not c.claimed), array_agg(c.name) filter (where c.ready and not c.held and not c.claimed),
           array_agg(c.task_id) filter (where c.held), array_agg(c.name) filter (where c.held),
           array_agg(c.task_id) filter (where c.claimed), array_agg(c.name) filter (where c.claimed)
      into v_task_ids, v_steps, v_counts, v_sent, v_ready_tasks, v_ready_held, v_sent_tasks, v_sent_steps, v_held_tasks, v_held_steps, claimed_tasks, claimed_steps
      from chosen c;
    if claimed_tasks is not null then
        -- A claim's message is one that nobody sees before the lease has run out.
        select array_agg(m.task_id), array_agg(m.step), array_agg(m.msg_id) into claimed_tasks, claimed_steps, v_msg_ids
          from tasker.send_steps(claimed_tasks, claimed_steps, make_interval(secs => p_lease)) m;
    end if;
    if v_task_ids is not null then
        update tasker.steps c
           set waiting_on = c.waiting_on - i.n, updated_at = p_now,
               state = (case when m.msg_id is not null then 'in_progress' when i.sent then 'enqueued' else 'pending' end)::tasker.step_state,
               enqueued_at = case when i.sent then p_now end,
               claim_no = c.claim_no + (m.msg_id is not null)::int, attempt = c.attempt + (m.msg_id is not null)::int, msg_id = m.msg_id,
               worker_id = case when m.msg_id is not null then p_worker_id end, started_at = case when m.msg_id is not null then p_now end
          from unnest(v_task_ids, v_steps, v_counts, v_sent) i(task_id, name, n, sent)
          left join unnest(claimed_tasks, claimed_steps, v_msg_ids) m(task_id, name, msg_id) on m.task_id = i.task_id and m.name = i.name
         where c.task_id = i.task_id and c.name = i.name;
    end if;
    -- 5. One update for each task.
    finished := tasker.evaluate_tasks(p_settled, v_ready_tasks, v_ready_held, p_failing, p_now);
    -- 6. Send, or hold where the namespace takes none now.
    if v_held_tasks is not null then
        perform tasker.hold_steps(v_held_tasks, v_held_steps);
    end if;
    if v_sent_tasks is not null then
        perform tasker.send_steps(v_sent_tasks, v_sent_steps);
    end if;
    enqueued := coalesce(cardinality(v_sent_tasks), 0);
    held := coalesce(cardinality(v_held_tasks), 0);
    return next;
end
$$;
comment on function tasker.advance_tasks(tasker.settled_step[], timestamptz, uuid[], int, text[], uuid, int) is 'What follows from settled steps: children counted down, tasks evaluated, ready steps sent; up to p_claim of them, with a handler in p_handlers, are claimed for the worker at once, for p_lease seconds. The caller holds the tasks.';
