-- for: worker
-- planner: plan_cache_mode = force_generic_plan, enable_seqscan = off
-- planner: enable_bitmapscan = off, jit = off
create function tasker.release_steps(
    p_worker_id  uuid,
    p_claims     jsonb,
    p_delay      interval default '0',
    p_reason     text default null,
    p_lost       boolean default false
)
returns table (
    task_id   uuid,
    step      text,
    status    text,
    claim_no  int
)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_now        timestamptz := tasker.clock();
    v_delay      interval := least(greatest(p_delay, interval '0'), interval '1 minute');
    v_task_ids   uuid[];
    v_steps      text[];
    v_claim_nos  int[];
    v_back       record;
begin
    perform tasker.refuse_isolation();
    perform tasker.refuse_list(p_claims, 'p_claims') where jsonb_typeof(p_claims) <> 'array';
    if tasker.limits() is not null then
        p_claims := tasker.own_claims(p_claims);
    end if;
    if p_reason is not null then
        perform tasker.refuse_hidden(p_reason, 'reason');
    end if;
    perform tasker.set_actor(p_worker_id, coalesce(left(p_reason, 1000), 'released'));
    select
        tasker.to_uuids(array_agg(e.c ->> 'task_id' order by e.n)),
        array_agg(e.c ->> 'step' order by e.n),
        tasker.to_ints(array_agg(e.c ->> 'claim_no' order by e.n))
    into v_task_ids, v_steps, v_claim_nos
    from jsonb_array_elements(p_claims) with ordinality e(c, n);

    v_back := tasker.give_back_claims(
        v_task_ids, v_steps, v_claim_nos, coalesce(p_lost, false), p_reason, v_now);
    perform tasker.delete_messages(v_back.task_ids, v_back.msg_ids);
    perform tasker.send_results(v_back.failed);

    -- Each released step gets a new message: the old one's id must never again match a claim.
    -- A short delay may wait in the queue.
    perform tasker.send_steps(v_back.sent_tasks, v_back.sent_steps, coalesce(v_delay, '0'));
    perform tasker.set_actor(p_worker_id);

    return query
    select
        i.task_id,
        i.step,
        case
            when r.step is not null then 'released'
            when exists (
                select
                from tasker.steps s
                where s.task_id = i.task_id
                  and s.name = i.step
                  and s.claim_no = i.claim_no
                  and s.state = 'in_progress'
            ) then 'busy'
            else 'stale'
        end,
        i.claim_no
    from unnest(v_task_ids, v_steps, v_claim_nos) with ordinality i(task_id, step, claim_no, n)
    left join unnest(v_back.task_ids, v_back.steps, v_back.claim_nos) r(task_id, step, claim_no)
      on r.task_id = i.task_id
     and r.step = i.step
     and r.claim_no = i.claim_no
    order by i.n;
end
$$;
comment on function tasker.release_steps(uuid, jsonb, interval, text, boolean) is
    'Gives claims back without counting an attempt, so that another worker takes the steps at '
    'once, or after p_delay (at most a minute). p_lost: an outage took the claim, which counts '
    'against max_lease_losses; at that number the step fails. '
    'Answers, in order: released; busy (another transaction has locked the step: try again); '
    'stale.';
