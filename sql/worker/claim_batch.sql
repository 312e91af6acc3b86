create function tasker.claim_batch(p_queue text, p_worker_id uuid, p_msg_ids bigint[], p_messages jsonb[], out task_ids uuid[], out steps text[], out msg_ids bigint[], out leases interval[],
    out expired_tasks uuid[], out expired_steps text[])
language plpgsql volatile as $$
declare
    v_now      timestamptz := tasker.clock();
    v_held     bigint[];
    v_expired  jsonb[];
begin
    -- Queue rows are held already, so steps are taken skip locked: this never waits. The state decides:
    -- enqueued is claimed; in progress under this very message is a lease that ran out.
    with refs as (
        select m.task_id, m.message ->> 'step' as name, m.msg_id
          from unnest(p_msg_ids, p_messages, tasker.to_uuids(array(select m ->> 'task_id' from unnest(p_messages) m))) m(msg_id, message, task_id)
    ), found as materialized (
        select s.task_id, s.name, s.state, s.attempt, s.max_attempts, r.msg_id,
               -- A message in the queue of another namespace claims nothing: a worker there would delete the wrong one.
               (s.state = 'enqueued' or (s.state = 'in_progress' and s.msg_id = r.msg_id)) and t.queue = p_queue as live,
               t.task_finished, t.lease
          from refs r
         cross join lateral (select * from tasker.steps s where s.task_id = r.task_id and s.name = r.name for no key update skip locked) s
         cross join lateral (select t.completed_at is not null as task_finished, tasker.worker_queue(t.namespace) as queue, p.lease
                               from tasker.tasks t join tasker.template_steps p on p.template_id = t.template_id and p.name = s.template_step
                              where t.task_id = s.task_id offset 0) t
    ), finished as materialized (
        -- A step of a finished task is cancelled, but not while somebody is about to let the task go on.
        select t.task_id
          from (select distinct f.task_id from found f where f.live and f.task_finished) f
         cross join lateral (select * from tasker.tasks t where t.task_id = f.task_id and t.completed_at is not null for share skip locked) t
    ), live as (
        -- A step may have been sent twice: one message claims it, the others are dropped.
        select distinct on (f.task_id, f.name) f.* from found f
         where f.live and (not f.task_finished or f.task_id in (select n.task_id from finished n))
         order by f.task_id, f.name, f.msg_id
    ), moved as (
        update tasker.steps s
           set state = (case when f.task_finished then 'cancelled' when f.attempt >= f.max_attempts then 'enqueued_for_orchestration' else 'in_progress' end)::tasker.step_state,
               claim_no = s.claim_no + 1,
               attempt = case when f.task_finished or f.attempt >= f.max_attempts then s.attempt else s.attempt + 1 end,
               error = case when not f.task_finished and f.attempt >= f.max_attempts
                            then jsonb_build_object('message', 'lease expired', 'code', 'lease_expired', 'retryable', false, 'attempt', s.attempt) else s.error end,
               msg_id = f.msg_id, worker_id = p_worker_id, started_at = v_now, updated_at = v_now
          from live f
         where s.task_id = f.task_id and s.name = f.name
        returning s.task_id, s.name, s.state, s.claim_no, s.msg_id, f.lease, f.state = 'in_progress' as expired
    )
    select array_agg(m.task_id) filter (where m.state = 'in_progress'), array_agg(m.name) filter (where m.state = 'in_progress'),
           array_agg(m.msg_id) filter (where m.state = 'in_progress'), array_agg(m.lease) filter (where m.state = 'in_progress'),
           array_agg(m.task_id) filter (where m.state = 'in_progress' and m.expired), array_agg(m.name) filter (where m.state = 'in_progress' and m.expired),
           array_agg(tasker.result_message(m.task_id, m.name, m.claim_no)) filter (where m.state = 'enqueued_for_orchestration'),
           (select array_agg(r.msg_id) from refs r
             where not exists (select from found f where f.msg_id = r.msg_id
                                  and (not (f.live and f.task_finished) or f.task_id in (select n.task_id from finished n)))
               and exists (select from tasker.steps s where s.task_id = r.task_id and s.name = r.name))
      into task_ids, steps, msg_ids, leases, expired_tasks, expired_steps, v_expired, v_held
      from moved m;
    if v_expired is not null then
        perform pgmq.send_batch('orchestration_step_results', v_expired, null, clock_timestamp());
        perform tasker.notify_queue('orchestration_step_results');
    end if;
    if cardinality(msg_ids) is distinct from cardinality(p_msg_ids) then
        perform tasker.drop_messages(p_queue, p_msg_ids, p_messages, msg_ids, v_held);
    end if;
end
$$;
comment on function tasker.claim_batch(text, uuid, bigint[], jsonb[]) is 'Claims the steps that messages just read refer to. leases: those of steps that have one of their own. expired: those whose last claim''s lease ran out. Null: none of them was of use.';
