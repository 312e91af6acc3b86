create function tasker.claim_batch(p_queue text, p_worker_id uuid, p_msg_ids bigint[], p_messages jsonb[], p_lease interval,
    p_handlers text[] default null, p_old_ids bigint[] default null, p_max int default null, p_room bigint default null,
    out task_ids uuid[], out steps text[], out msg_ids bigint[], out leases interval[],
    out losses jsonb, out parked int, out bytes bigint, out is_full boolean)
language plpgsql volatile as $$
declare
    v_now      timestamptz := tasker.clock();
    v_held     bigint[];
    v_back     bigint[];
    v_expired  jsonb[];
    v_most     bigint := (select c.max_claim_bytes from tasker.settings c);
    v_namespaces text[];  v_handlers text[];  v_park_tasks uuid[];  v_park_steps text[];  v_park_ids bigint[];
begin
    with found as materialized (
        select * from tasker.find_claims(p_queue, p_msg_ids, p_messages, p_handlers, p_old_ids, p_max, p_room)
    ), counted as (
        select f.*, coalesce(c.losses, f.lease_losses) as losses, coalesce(c.deaths, f.worker_losses) as deaths, c.failure, f.state = 'in_progress' as lost
          from found f
          -- Only of those that were lost: the join comes after its own condition.
          left join lateral (select l.* from (select f.state where f.state = 'in_progress' offset 0) i
                              cross join lateral tasker.count_loss(f.worker_id, f.started_at, coalesce(f.lease, p_lease), f.alone, f.lease_losses, f.worker_losses) l) c on true
         where f.verdict = 'claim'
    ), moved as (
        update tasker.steps s
           set state = (case when f.task_finished then 'cancelled' when f.failure is not null or f.too_large then 'enqueued_for_orchestration' else 'in_progress' end)::tasker.step_state,
               claim_no = s.claim_no + 1,
               -- The claim that was lost gives its attempt back.
               attempt = s.attempt - f.lost::int + (not f.task_finished and f.failure is null and not f.too_large)::int,
               lease_losses = f.losses, worker_losses = f.deaths, alone = false,
               error = case when f.too_large
                            then jsonb_build_object('message', format('its context, inputs, and checkpoint have %s bytes; a claim has at most %s (max_claim_bytes in tasker.settings)', f.own, v_most),
                                                    'code', 'input_too_large', 'retryable', false, 'attempt', s.attempt - f.lost::int)
                            when f.failure is not null then tasker.loss_error(f.failure, f.worker_id, f.losses, s.attempt - 1) else s.error end,
               msg_id = f.msg_id, worker_id = p_worker_id, started_at = v_now, updated_at = v_now
          from counted f
         where s.task_id = f.task_id and s.name = f.name
        returning s.task_id, s.name, s.state, s.claim_no, s.msg_id, f.lease, f.bytes, f.lost, s.lease_losses, s.worker_losses
    ), others as (
        select array_agg(f.msg_id order by f.msg_id) filter (where f.verdict = 'held') as held, array_agg(f.msg_id order by f.msg_id) filter (where f.verdict = 'back') as back,
               array_agg(f.namespace order by f.msg_id) filter (where f.verdict = 'park') as namespaces, array_agg(f.handler order by f.msg_id) filter (where f.verdict = 'park') as handlers,
               array_agg(f.task_id order by f.msg_id) filter (where f.verdict = 'park') as task_ids, array_agg(f.name order by f.msg_id) filter (where f.verdict = 'park') as steps,
               array_agg(case when f.state = 'in_progress' then f.old_id end order by f.msg_id) filter (where f.verdict = 'park') as old_ids
          from found f where f.verdict <> 'claim'
    ), claimed as (
        select array_agg(m.task_id) filter (where m.state = 'in_progress') as task_ids, array_agg(m.name) filter (where m.state = 'in_progress') as steps,
               array_agg(m.msg_id) filter (where m.state = 'in_progress') as msg_ids, array_agg(m.lease) filter (where m.state = 'in_progress') as leases,
               jsonb_agg(jsonb_build_object('task_id', m.task_id, 'step', m.name, 'losses', m.lease_losses, 'deaths', m.worker_losses, 'expired', m.lost))
                   filter (where m.lease_losses > 0) as losses,
               array_agg(tasker.result_message(m.task_id, m.name, m.claim_no)) filter (where m.state = 'enqueued_for_orchestration') as failed, coalesce(sum(m.bytes), 0) as bytes
          from moved m
    )
    select c.task_ids, c.steps, c.msg_ids, c.leases, c.losses, c.failed, c.bytes, o.held, o.back, o.namespaces, o.handlers, o.task_ids, o.steps, o.old_ids
      into task_ids, steps, msg_ids, leases, losses, v_expired, bytes, v_held, v_back, v_namespaces, v_handlers, v_park_tasks, v_park_steps, v_park_ids
      from claimed c cross join others o;
    if v_expired is not null then
        perform pgmq.send_batch('orchestration_step_results', v_expired, null, clock_timestamp());
        perform tasker.notify_queue('orchestration_step_results');
    end if;
    parked := coalesce(cardinality(v_park_tasks), 0);
    if parked > 0 then
        perform tasker.park_steps(v_namespaces, v_handlers, v_park_tasks, v_park_steps, v_park_ids);
    end if;
    is_full := v_back is not null;
    if is_full then
        perform pgmq.set_vt(p_queue, v_back, 0);
    end if;
    if cardinality(msg_ids) is distinct from cardinality(p_msg_ids) then
        perform tasker.drop_messages(p_queue, p_msg_ids, p_messages, msg_ids || v_back, v_held);
    end if;
end
$$;
comment on function tasker.claim_batch(text, uuid, bigint[], jsonb[], interval, text[], bigint[], int, bigint) is 'Claims up to p_max, and p_room bytes (null: max_claim_bytes), of the steps that messages just read refer to, and parks those whose handler is not in p_handlers. p_old_ids: of messages in place of others, those others. leases: those of steps that have one of their own. losses: of those that have lost claims, and whether the last one''s lease ran out. That is a loss and no attempt; a step that has lost too many fails. Null: none of them was of use.';
