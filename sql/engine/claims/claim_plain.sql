create function tasker.claim_plain(
    p_worker_id   uuid,
    p_found       tasker.found_claim[],
    out task_ids  uuid[],
    out steps     text[],
    out msg_ids   bigint[],
    out leases    interval[],
    out failed    jsonb[]
)
language plpgsql volatile as $$
declare
    v_now  timestamptz := tasker.clock();
begin
    -- A step that was sent twice is moved once, by either message; the caller drops the other.
    with moved as (
        update tasker.steps s
        set state = (case
                when (f.made).error is null then 'in_progress'
                else 'enqueued_for_orchestration'
            end)::tasker.step_state,
            claim_no = s.claim_no + 1,
            attempt = s.attempt + ((f.made).error is null)::int,
            alone = false,
            inputs = coalesce((f.made).value, s.inputs),
            error = coalesce(
                (f.made).error || jsonb_build_object('attempt', s.attempt),
                s.error),
            msg_id = f.msg_id,
            worker_id = p_worker_id,
            started_at = v_now,
            updated_at = v_now
        from (
            select
                f.*,
                case
                    when f.has_inputs
                        then tasker.step_inputs(f.task_id, f.template_id, f.template_step)
                end as made
            from unnest(p_found) f
            offset 0
        ) f
        where s.task_id = f.task_id
          and s.name = f.name
        returning s.task_id, s.name, s.state, s.claim_no, s.msg_id, f.lease
    )
    select
        array_agg(m.task_id) filter (where m.state = 'in_progress'),
        array_agg(m.name) filter (where m.state = 'in_progress'),
        array_agg(m.msg_id) filter (where m.state = 'in_progress'),
        array_agg(m.lease) filter (where m.state = 'in_progress'),
        array_agg(tasker.result_message(m.task_id, m.name, m.claim_no))
            filter (where m.state <> 'in_progress')
    into task_ids, steps, msg_ids, leases, failed
    from moved m;
end
$$;
comment on function tasker.claim_plain(uuid, tasker.found_claim[]) is
    'Claims locked steps that are all enqueued, have lost no claim, and fit into the answer. '
    'leases: those of steps with a lease of their own. '
    'failed: the results, to send to the orchestrators, of steps whose inputs cannot be made.';
