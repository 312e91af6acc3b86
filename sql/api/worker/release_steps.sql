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
    v_now         timestamptz := tasker.clock();
    v_delay       interval := least(greatest(p_delay, interval '0'), interval '1 minute');
    v_task_ids    uuid[];
    v_steps       text[];
    v_claim_nos   int[];
    v_held_tasks  uuid[];
    v_held_steps  text[];
    v_held_nos    int[];
    v_msg_ids     bigint[];
    v_failed      jsonb[];
    v_sent        boolean[];
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
            from unnest(v_task_ids, v_steps, v_claim_nos) i(task_id, step, claim_no)
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
            h.lease_losses + coalesce(p_lost, false)::int as losses,
            coalesce(p_lost, false)
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
                    'lease_expired', h.worker_id, h.losses, h.attempt - 1, p_reason)
                else s.error
            end,
            msg_id = null,
            worker_id = null,
            updated_at = v_now
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
        array_agg(not m.failed),
        array_agg(tasker.result_message(m.task_id, m.name, m.claim_no)) filter (where m.failed)
    into v_held_tasks, v_held_steps, v_held_nos, v_msg_ids, v_sent, v_failed
    from moved m;
    perform tasker.delete_messages(v_held_tasks, v_msg_ids);

    if v_failed is not null then
        perform pgmq.send_batch('orchestration_step_results', v_failed, null, clock_timestamp());
        perform tasker.notify_queue('orchestration_step_results');
    end if;

    -- Each released step gets a new message: the old one's id must never again match a claim.
    -- A short delay may wait in the queue.
    perform tasker.send_steps(
        array(
            select h.task_id
            from unnest(v_held_tasks, v_sent) with ordinality h(task_id, sent, n)
            where h.sent
            order by h.n
        ),
        array(
            select h.step
            from unnest(v_held_steps, v_sent) with ordinality h(step, sent, n)
            where h.sent
            order by h.n
        ),
        coalesce(v_delay, '0'));
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
    left join unnest(v_held_tasks, v_held_steps, v_held_nos) r(task_id, step, claim_no)
      on r.task_id = i.task_id
     and r.step = i.step
     and r.claim_no = i.claim_no
    order by i.n;
end
$$;
comment on function tasker.release_steps(uuid, jsonb, interval, text, boolean) is
    'Gives claims back, their attempt not counted, so that another worker takes the steps at once, '
    'or after p_delay (at most a minute). '
    'p_lost: an outage took the claim, which counts against max_lease_losses; '
    'at that number the step fails. '
    'Answers, in order: released; busy (somebody holds the step: try again); stale.';
