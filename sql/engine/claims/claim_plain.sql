create function tasker.claim_plain(
    p_worker_id   uuid,
    p_found       tasker.found_claim[],
    out task_ids  uuid[],
    out steps     text[],
    out msg_ids   bigint[],
    out leases    interval[]
)
language plpgsql volatile as $$
declare
    v_now  timestamptz := tasker.clock();
begin
    -- A step that was sent twice is moved once, by either message; the caller drops the other.
    with moved as (
        update tasker.steps s
        set state = 'in_progress',
            claim_no = s.claim_no + 1,
            attempt = s.attempt + 1,
            alone = false,
            msg_id = f.msg_id,
            worker_id = p_worker_id,
            started_at = v_now,
            updated_at = v_now
        from unnest(p_found) f
        where s.task_id = f.task_id
          and s.name = f.name
        returning s.task_id, s.name, s.msg_id, f.lease
    )
    select
        array_agg(m.task_id),
        array_agg(m.name),
        array_agg(m.msg_id),
        array_agg(m.lease)
    into task_ids, steps, msg_ids, leases
    from moved m;
end
$$;
comment on function tasker.claim_plain(uuid, tasker.found_claim[]) is
    'Claims locked steps that are all enqueued, have lost no claim, and fit into the answer. '
    'leases: those of steps with a lease of their own.';
