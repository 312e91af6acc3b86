create function tasker.claim_judged(
    p_worker_id   uuid,
    p_found       tasker.found_claim[],
    p_lease       interval,
    p_max         int,
    p_room        bigint,
    out task_ids  uuid[],
    out steps     text[],
    out msg_ids   bigint[],
    out leases    interval[],
    out expired   bigint[],
    out failed    jsonb[],
    out bytes     bigint,
    out back      bigint[],
    out held      bigint[],
    out parked    tasker.found_claim[]
)
language plpgsql volatile as $$
declare
    v_now   timestamptz := tasker.clock();
    v_most  bigint := (select c.max_claim_bytes from tasker.settings c);
begin
    with judged as materialized (
        select * from tasker.judge_claims(p_found, p_max, p_room)
    ), counted as (
        select
            f.*,
            coalesce(loss.losses, f.lease_losses) as losses,
            coalesce(loss.deaths, f.worker_losses) as deaths,
            loss.failure,
            f.state = 'in_progress' as lost
        from (
            select (j.candidate).*, j.too_large, j.bytes
            from judged j
            where j.verdict = 'claim'
        ) f
        -- Only of those that were lost: the join comes after its own condition.
        left join lateral (
            select l.*
            from (select where f.state = 'in_progress' offset 0) lost
            cross join lateral tasker.count_loss(
                f.worker_id,
                f.started_at,
                coalesce(f.lease, p_lease),
                f.alone,
                f.lease_losses,
                f.worker_losses) l
        ) loss on true
    ), moved as (
        update tasker.steps s
        set state = (case
                when c.task_finished then 'cancelled'
                when c.failure is not null or c.too_large then 'enqueued_for_orchestration'
                else 'in_progress'
            end)::tasker.step_state,
            claim_no = s.claim_no + 1,
            -- The claim that was lost gives its attempt back.
            attempt = s.attempt - c.lost::int
                + (not c.task_finished and c.failure is null and not c.too_large)::int,
            lease_losses = c.losses,
            worker_losses = c.deaths,
            alone = false,
            error = case
                when c.too_large then tasker.too_large_error(
                    c.own, v_most, s.attempt - c.lost::int)
                when c.failure is not null then tasker.loss_error(
                    c.failure, c.worker_id, c.losses, s.attempt - 1)
                else s.error
            end,
            msg_id = c.msg_id,
            worker_id = p_worker_id,
            started_at = v_now,
            updated_at = v_now
        from counted c
        where s.task_id = c.task_id
          and s.name = c.name
        returning s.task_id, s.name, s.state, s.claim_no, s.msg_id, c.lease, c.bytes, c.lost
    )
    select
        array_agg(m.task_id) filter (where m.state = 'in_progress'),
        array_agg(m.name) filter (where m.state = 'in_progress'),
        array_agg(m.msg_id) filter (where m.state = 'in_progress'),
        array_agg(m.lease) filter (where m.state = 'in_progress'),
        array_agg(m.msg_id) filter (where m.state = 'in_progress' and m.lost),
        array_agg(tasker.result_message(m.task_id, m.name, m.claim_no))
            filter (where m.state = 'enqueued_for_orchestration'),
        coalesce(sum(m.bytes), 0),
        (select array_agg((j.candidate).msg_id) from judged j where j.verdict = 'back'),
        (select array_agg((j.candidate).msg_id) from judged j where j.verdict = 'held'),
        (select array_agg(j.candidate) from judged j where j.verdict = 'park')
    into task_ids, steps, msg_ids, leases, expired, failed, bytes, back, held, parked
    from moved m;
end
$$;
comment on function tasker.claim_judged(
    uuid, tasker.found_claim[], interval, int, bigint
) is
    'Claims locked steps, or ends them: a lost claim counts as a loss, and the step fails after '
    'too many; a step that is too large, or whose task has finished, ends. '
    'expired: the messages of steps whose lease ran out. failed: the results to send to the '
    'orchestrators. back, held: messages that stay in the queue. '
    'parked: steps to park.';
