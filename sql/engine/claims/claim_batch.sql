create function tasker.claim_batch(
    p_queue       text,
    p_worker_id   uuid,
    p_msg_ids     bigint[],
    p_messages    jsonb[],
    p_lease       interval,
    p_handlers    text[] default null,
    p_old_ids     bigint[] default null,
    p_max         int default null,
    p_room        bigint default null,
    out task_ids  uuid[],
    out steps     text[],
    out msg_ids   bigint[],
    out leases    interval[],
    out expired   bigint[],
    out parked    int,
    out bytes     bigint,
    out is_full   boolean
)
language plpgsql volatile as $$
declare
    v_found   tasker.found_claim[] :=
        tasker.find_claims(p_queue, p_msg_ids, p_messages, p_handlers, p_old_ids);
    v_most    bigint := (select c.max_claim_bytes from tasker.settings c);
    v_plain   boolean;
    v_rest    record;
    v_back    bigint[];
    v_held    bigint[];
begin
    parked := 0;
    select
        bool_and(
            f.live
            and f.fits
            and not f.task_finished
            and f.state = 'enqueued'
            and f.lease_losses = 0),
        sum(f.own + f.inherited + f.summaries)
    into v_plain, bytes
    from unnest(v_found) f;

    -- Nearly every batch is claimed as it is.
    if v_plain
       and cardinality(v_found) <= coalesce(p_max, cardinality(v_found))
       and bytes <= coalesce(p_room, v_most)
    then
        v_rest := tasker.claim_plain(p_worker_id, v_found);
        task_ids := v_rest.task_ids;
        steps := v_rest.steps;
        msg_ids := v_rest.msg_ids;
        leases := v_rest.leases;
        if v_rest.failed is not null then
            perform tasker.send_results(v_rest.failed);
            bytes := (
                select coalesce(sum(f.own + f.inherited + f.summaries), 0)
                from unnest(v_found) f
                where f.msg_id = any (msg_ids)
            );
        end if;
    else
        v_rest := tasker.claim_judged(p_worker_id, v_found, p_lease, p_max, p_room);
        task_ids := v_rest.task_ids;
        steps := v_rest.steps;
        msg_ids := v_rest.msg_ids;
        leases := v_rest.leases;
        expired := v_rest.expired;
        bytes := v_rest.bytes;
        v_back := v_rest.back;
        v_held := v_rest.held;
        perform tasker.send_results(v_rest.failed);
        if v_rest.parked is not null then
            parked := cardinality(v_rest.parked);
            perform tasker.park_claims(v_rest.parked);
        end if;
    end if;

    is_full := v_back is not null;
    if is_full then
        perform pgmq.set_vt(p_queue, v_back, 0);
    end if;
    if cardinality(msg_ids) is distinct from cardinality(p_msg_ids) then
        v_held := v_held || tasker.held_messages(p_msg_ids, p_messages, v_found);
        perform tasker.drop_messages(p_queue, p_msg_ids, p_messages, msg_ids || v_back, v_held);
    end if;
end
$$;
comment on function tasker.claim_batch(
    text, uuid, bigint[], jsonb[], interval, text[], bigint[], int, bigint
) is
    'Claims up to p_max, and p_room bytes (null: max_claim_bytes), of the steps that the messages '
    'just read refer to, and parks those whose handler is not in p_handlers. '
    'p_old_ids: the messages that these replace. leases: those of steps with a lease of their own. '
    'expired: the messages of steps whose lease ran out, which counts as a loss and not as an '
    'attempt; a step with too many losses fails. Null: nothing to claim.';
