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
            (j.candidate).*,
            j.bytes,
            loss.losses,
            loss.deaths,
            (j.candidate).state = 'in_progress' as lost,
            case
                when j.too_large then tasker.too_large_error((j.candidate).own, v_most)
                else loss.failure
            end as failure
        from judged j
        cross join lateral tasker.count_loss(j.candidate, p_lease) loss
        where j.verdict = 'claim'
    ), made as (
        select c.*, coalesce(c.failure, (c.made).error) as problem
        from (
            select
                c.*,
                case
                    when c.has_inputs and not c.task_finished and c.failure is null
                        then tasker.step_inputs(c.task_id, c.template_id, c.template_step)
                end as made
            from counted c
            offset 0
        ) c
    ), moved as (
        update tasker.steps s
        set state = (case
                when c.task_finished then 'cancelled'
                when c.problem is not null then 'enqueued_for_orchestration'
                else 'in_progress'
            end)::tasker.step_state,
            claim_no = s.claim_no + 1,
            -- The claim that was lost gives its attempt back.
            attempt = s.attempt - c.lost::int
                + (not c.task_finished and c.problem is null)::int,
            lease_losses = c.losses,
            worker_losses = c.deaths,
            alone = false,
            inputs = coalesce((c.made).value, s.inputs),
            error = coalesce(
                c.problem || jsonb_build_object('attempt', s.attempt - c.lost::int),
                s.error),
            msg_id = c.msg_id,
            worker_id = p_worker_id,
            started_at = v_now,
            updated_at = v_now
        from made c
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
        coalesce(sum(m.bytes) filter (where m.state = 'in_progress'), 0),
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
    'too many; a step that is too large, whose inputs cannot be made, or whose task has '
    'finished, ends. '
    'expired: the messages of steps whose lease ran out. failed: the results to send to the '
    'orchestrators. back, held: messages that stay in the queue. '
    'parked: steps to park.';
