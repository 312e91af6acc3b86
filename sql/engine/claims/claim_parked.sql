create function tasker.claim_parked(
    p_namespace  text,
    p_worker_id  uuid,
    p_max        int,
    p_lease      int,
    p_handlers   text[],
    p_room       bigint,
    out task_ids  uuid[],
    out steps     text[],
    out expired   bigint[],
    out bytes     bigint,
    out is_full   boolean
)
language plpgsql volatile as $$
declare
    v_queue     text := tasker.worker_queue(p_namespace);
    v_handler   text;
    v_task_ids  uuid[];
    v_steps     text[];
    v_old_ids   bigint[];
    v_msg_ids   bigint[];
    v_messages  jsonb[];
    v_claimed   record;
    v_most      bigint := (select c.max_claim_bytes from tasker.settings c);
begin
    bytes := 0;
    is_full := false;
    -- The handler whose step has waited for longest comes first.
    for v_handler in
        select h.handler
        from tasker.parked_handlers_of(p_namespace) h
        where tasker.has_handler(p_handlers, h.handler)
        order by h.first_no
    loop
        exit when coalesce(cardinality(task_ids), 0) >= p_max or is_full;

        -- Steps are taken in one statement and sent in the next.
        with taken as materialized (
            select p.parked_no
            from tasker.parked_steps p
            where p.namespace = p_namespace
              and p.handler = v_handler
            order by p.parked_no
            limit p_max - coalesce(cardinality(task_ids), 0)
            for update skip locked
        ), gone as (
            delete from tasker.parked_steps p
            using taken t
            where p.parked_no = t.parked_no
            returning p.parked_no, p.task_id, p.step, p.msg_id
        )
        select
            array_agg(g.task_id order by g.parked_no),
            array_agg(g.step order by g.parked_no),
            array_agg(g.msg_id order by g.parked_no)
        into v_task_ids, v_steps, v_old_ids
        from gone g;
        continue when v_task_ids is null;

        -- Nobody sees a claim's message before its lease has run out.
        select array_agg(jsonb_build_object('task_id', i.task_id, 'step', i.step) order by i.n)
        into v_messages
        from unnest(v_task_ids, v_steps) with ordinality i(task_id, step, n);
        v_msg_ids := array(
            select pgmq.send_batch(
                v_queue,
                v_messages,
                clock_timestamp() + make_interval(secs => p_lease))
        );
        v_claimed := tasker.claim_batch(
            v_queue,
            p_worker_id,
            v_msg_ids,
            v_messages,
            make_interval(secs => p_lease),
            p_handlers,
            v_old_ids,
            null,
            case
                when p_room is not null or bytes > 0 then coalesce(p_room, v_most) - bytes
            end);

        bytes := bytes + v_claimed.bytes;
        is_full := v_claimed.is_full;
        perform tasker.set_own_leases(v_queue, v_claimed.msg_ids, v_claimed.leases);
        task_ids := task_ids || v_claimed.task_ids;
        steps := steps || v_claimed.steps;
        expired := expired || v_claimed.expired;
    end loop;
end
$$;
comment on function tasker.claim_parked(text, uuid, int, int, text[], bigint) is
    'Claims up to p_max parked steps of a namespace whose handlers the worker has; each gets its '
    'message then.';
