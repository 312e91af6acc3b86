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
            tasker.worker_queue(t.namespace),
            case
                when p.lease is null then v_asked
                else tasker.lease_seconds(p.lease)
            end as lease,
            array_agg(s.msg_id order by s.msg_id)
        from jsonb_array_elements(p_claims) e(c)
        join tasker.steps s
          on s.task_id = tasker.to_uuid(e.c ->> 'task_id')
         and s.name = e.c ->> 'step'
        join tasker.tasks t on t.task_id = s.task_id
        cross join lateral tasker.template_step(t.template_id, s.template_step) p
        where s.state = 'in_progress'
          and s.claim_no = (tasker.to_ints(array[e.c ->> 'claim_no']))[1]
          and t.completed_at is null
        group by t.namespace, 2
        order by t.namespace, 2
    loop
        v_msg_ids := tasker.free_messages(v_queue, v_msg_ids);
        if v_msg_ids <> '{}' then
            perform pgmq.set_vt(v_queue, v_msg_ids, v_lease);
        end if;
    end loop;

    return query
    select
        i.task_id,
        i.step,
        case
            when s.state = 'cancelled' or t.completed_at is not null then 'cancelled'
            when s.state = 'in_progress' and s.claim_no = i.claim_no then 'extended'
            else 'stale'
        end,
        i.claim_no
    from (
        select
            tasker.to_uuid(e.c ->> 'task_id') as task_id,
            e.c ->> 'step' as step,
            (tasker.to_ints(array[e.c ->> 'claim_no']))[1] as claim_no,
            e.n
        from jsonb_array_elements(p_claims) with ordinality e(c, n)
    ) i
    left join tasker.steps s
      on s.task_id = i.task_id
     and s.name = i.step
    left join tasker.tasks t on t.task_id = i.task_id
    order by i.n;
end
$$;
comment on function tasker.extend_leases(uuid, jsonb, interval) is
    'Holds claims from now, for p_lease or the step''s own lease: '
    '[{"task_id","step","claim_no"}] of any namespaces. '
    'Answers in order: extended; stale (the claim has passed to another); '
    'cancelled (stop the handler). One statement serves a whole process. Error: TK007 lease.';
