create function tasker.give_back_claims(
    p_task_ids      uuid[],
    p_steps         text[],
    p_claim_nos     int[],
    p_lost          boolean,
    p_reason        text,
    p_now           timestamptz,
    out task_ids    uuid[],
    out steps       text[],
    out claim_nos   int[],
    out msg_ids     bigint[],
    out sent_tasks  uuid[],
    out sent_steps  text[],
    out failed      jsonb[]
)
language plpgsql volatile as $$
begin
    -- A step that somebody holds is passed over: this never waits.
    with held as materialized (
        select
            s.task_id,
            s.name,
            s.msg_id,
            s.attempt,
            s.lease_losses,
            s.worker_id
        from (
            select distinct *
            from unnest(p_task_ids, p_steps, p_claim_nos) i(task_id, step, claim_no)
            order by 1, 2, 3
        ) i
        cross join lateral (
            select *
            from tasker.steps s
            where s.task_id = i.task_id
              and s.name = i.step
              and s.claim_no = i.claim_no
              and s.state = 'in_progress'
            for no key update skip locked
        ) s
    ), counted as (
        select
            h.*,
            h.lease_losses + p_lost::int as losses,
            p_lost
                and h.lease_losses + 1 >= (select g.max_lease_losses from tasker.settings g)
                as failed
        from held h
    ), moved as (
        -- enqueued_at stays: it says how long the step has waited for a worker that can run it.
        update tasker.steps s
        set state = (case
                when h.failed then 'enqueued_for_orchestration'
                else 'enqueued'
            end)::tasker.step_state,
            attempt = h.attempt - 1,
            lease_losses = h.losses,
            alone = false,
            error = case
                when h.failed then tasker.loss_error(
                    'lease_expired', h.worker_id, h.losses, p_reason)
                    || jsonb_build_object('attempt', h.attempt - 1)
                else s.error
            end,
            msg_id = null,
            worker_id = null,
            updated_at = p_now
        from counted h
        where s.task_id = h.task_id
          and s.name = h.name
        returning s.task_id, s.name, s.claim_no, h.msg_id, h.failed
    )
    select
        array_agg(m.task_id),
        array_agg(m.name),
        array_agg(m.claim_no),
        array_agg(m.msg_id),
        array_agg(m.task_id) filter (where not m.failed),
        array_agg(m.name) filter (where not m.failed),
        array_agg(tasker.result_message(m.task_id, m.name, m.claim_no)) filter (where m.failed)
    into task_ids, steps, claim_nos, msg_ids, sent_tasks, sent_steps, failed
    from moved m;
end
$$;
comment on function tasker.give_back_claims(
    uuid[], text[], int[], boolean, text, timestamptz
) is
    'Takes steps back from their claims, except those locked by others: they are enqueued again '
    'or, if lost too often, fail. msg_ids: the messages of all of them. '
    'sent_tasks, sent_steps: the steps to send again. failed: the results to send to the '
    'orchestrators.';
