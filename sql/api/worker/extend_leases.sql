-- for: worker
-- planner: plan_cache_mode = force_generic_plan, enable_seqscan = off, jit = off
create function tasker.extend_leases(
    p_worker_id  uuid,
    p_claims     jsonb,
    p_lease      interval default '30 s'
)
returns table (
    task_id   uuid,
    step      text,
    status    text,
    claim_no  int
)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '500ms'
as $$
declare
    v_asked    int := tasker.lease_seconds(p_lease);
    v_lease    int;
    v_queue    text;
    v_msg_ids  bigint[];
begin
    perform tasker.refuse_isolation();
    perform tasker.refuse_list(p_claims, 'p_claims') where jsonb_typeof(p_claims) <> 'array';
    if tasker.limits() is not null then
        p_claims := tasker.own_claims(p_claims);
    end if;

    -- This reads steps and locks none of them: a handler's own transaction may hold its step.
    -- A message that somebody holds is left alone: its result is being stored at this moment.
    -- Waiting for it could end in a deadlock, and a handler's transaction that has submitted and
    -- does not commit would let the other leases of its process run out.
    -- A queue that is gone or locked does not concern the others.
    for v_queue, v_lease, v_msg_ids in
        select
            tasker.worker_queue(c.namespace),
            case
                when p.lease is null then v_asked
                else tasker.lease_seconds(p.lease)
            end as lease,
            array_agg(c.msg_id order by c.msg_id)
        from tasker.judged_claims(p_claims) c
        cross join lateral tasker.template_step(c.template_id, c.template_step) p
        where c.lost is null
        group by c.namespace, 2
        order by c.namespace, 2
    loop
        v_msg_ids := tasker.free_messages(v_queue, v_msg_ids);
        if v_msg_ids <> '{}' then
            perform pgmq.set_vt(v_queue, v_msg_ids, v_lease);
        end if;
    end loop;

    return query
    select c.task_id, c.step, coalesce(c.lost, 'extended'), c.claim_no
    from tasker.judged_claims(p_claims) c
    order by c.n;
end
$$;
comment on function tasker.extend_leases(uuid, jsonb, interval) is
    'Holds claims from now, for p_lease or the step''s own lease: '
    '[{"task_id","step","claim_no"}] of any namespaces. '
    'Answers in order: extended; stale (the claim has passed to another); '
    'cancelled (stop the handler). One statement serves a whole process. Error: TK007 lease.';
