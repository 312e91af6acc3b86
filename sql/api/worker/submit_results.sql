-- for: worker
-- planner: plan_cache_mode = force_generic_plan, enable_seqscan = off
-- planner: enable_bitmapscan = off, jit = off
create function tasker.submit_results(
    p_worker_id  uuid,
    p_results    jsonb,
    p_wait       interval default '0'
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
    v_task_ids   uuid[];
    v_steps      text[];
    v_claim_nos  int[];
    v_outcomes   jsonb[];
    v_errors     jsonb[];
    v_durations  int[];
    v_held       int[];
    v_stored     int[];
    v_saved      int[];
    v_owners     uuid[];
    v_msg_ids    bigint[];
    v_messages   jsonb[];
    v_decides    boolean;
    v_yields     boolean;
    v_statuses   text[];
    v_n          int;
begin
    perform tasker.refuse_isolation();
    perform tasker.refuse_list(p_results, 'p_results') where jsonb_typeof(p_results) <> 'array';
    if tasker.limits() is not null then
        p_results := tasker.own_claims(p_results);
    end if;
    perform tasker.set_actor(p_worker_id);
    select
        tasker.to_uuids(array_agg(e.r ->> 'task_id')),
        array_agg(e.r ->> 'step'),
        tasker.to_ints(array_agg(e.r ->> 'claim_no')),
        array_agg(e.r -> 'outcome'),
        array_agg(tasker.outcome_error(e.r ->> 'task_id', e.r ->> 'step', e.r -> 'outcome')),
        array_agg(tasker.to_count(e.r -> 'duration_ms'))
    into v_task_ids, v_steps, v_claim_nos, v_outcomes, v_errors, v_durations
    from jsonb_array_elements(p_results) e(r);
    if v_task_ids is null then
        return;
    end if;

    -- Locked in key order, so that two submits of the same steps cannot wait for each other in a
    -- circle. A step that somebody holds is busy: only a caller in a transaction of its own waits
    -- for it, and not for long.
    for v_try in 1 .. 2 loop
        select array_agg(i.n), coalesce(bool_or(s.decides), false)
        into v_held, v_decides
        from (
            select distinct on (1, 2, 3) *
            from unnest(v_task_ids, v_steps, v_claim_nos)
                with ordinality i(task_id, step, claim_no, n)
            order by 1, 2, 3, 4
        ) i
        cross join lateral (
            select s.decides
            from tasker.steps s
            where s.task_id = i.task_id
              and s.name = i.step
              and s.claim_no = i.claim_no
              and s.state = 'in_progress'
            for no key update skip locked
        ) s;
        exit when v_held is not null
            or not tasker.wait_for_steps(v_task_ids, v_steps, v_claim_nos, p_wait);
    end loop;

    v_yields := exists (select from unnest(v_outcomes) o where o ->> 'type' = 'checkpoint');
    if v_decides or v_yields then
        v_errors := tasker.refuse_pointless(v_task_ids, v_steps, v_outcomes, v_errors);
    end if;
    if v_yields then
        v_saved := tasker.save_checkpoints(
            p_worker_id,
            v_held,
            v_task_ids,
            v_steps,
            v_claim_nos,
            v_outcomes,
            v_errors,
            v_now);
    end if;

    -- All outcomes but the checkpoints go on to the orchestrator.
    with stored as (
        update tasker.steps s
        set state = 'enqueued_for_orchestration',
            updated_at = v_now,
            duration_ms = r.duration,
            result = case when r.error is null then coalesce(r.outcome -> 'result', 'null') end,
            result_bytes = case
                when r.error is null then coalesce(octet_length((r.outcome -> 'result')::text), 4)
            end,
            decided = case
                when s.decides and r.error is null then r.outcome - '{type,result}'::text[]
            end,
            error = r.error || jsonb_build_object('attempt', s.attempt),
            -- Only losses in a row count: a handler that fails by itself has not taken its worker
            -- with it.
            lease_losses = case when r.error is null then s.lease_losses else 0 end,
            worker_losses = case when r.error is null then s.worker_losses else 0 end
        from (
            select i.*
            from unnest(v_held) h(n)
            join unnest(v_task_ids, v_steps, v_claim_nos, v_outcomes, v_errors, v_durations)
                with ordinality i(task_id, step, claim_no, outcome, error, duration, n)
              on i.n = h.n
        ) r
        where s.task_id = r.task_id
          and s.name = r.step
          and (r.error is not null or r.outcome ->> 'type' <> 'checkpoint')
        returning r.n, s.task_id, s.name, s.claim_no, s.msg_id
    )
    select
        array_agg(s.n),
        array_agg(s.task_id),
        array_agg(s.msg_id),
        array_agg(tasker.result_message(s.task_id, s.name, s.claim_no))
    into v_stored, v_owners, v_msg_ids, v_messages
    from stored s;
    if v_stored is not null then
        -- Only the messages of what this call moved are deleted:
        -- after a re-claim the same message belongs to the new claim.
        perform tasker.delete_messages(v_owners, v_msg_ids);
        perform pgmq.send_batch('orchestration_step_results', v_messages, null, clock_timestamp());
        perform tasker.notify_queue('orchestration_step_results');
    end if;

    v_statuses := array_fill(null::text, array[cardinality(v_task_ids)]);
    foreach v_n in array coalesce(v_stored || v_saved, '{}') loop
        v_statuses[v_n] := case
            when v_errors[v_n] ->> 'code' in ('invalid_outcome', 'result_too_large')
                then 'rejected'
            else 'accepted'
        end;
    end loop;
    perform tasker.send_events(p_results, array_positions(v_statuses, 'accepted'));

    -- A result without a status was not stored: the state of its step says why.
    return query
    select
        i.task_id,
        i.step,
        coalesce(
            i.status,
            (
                select case
                    when s.claim_no is distinct from i.claim_no then 'stale'
                    when s.state = 'in_progress' then 'busy'
                    when s.state in ('enqueued_for_orchestration', 'complete', 'error', 'pending')
                      or s.state = 'enqueued'
                         and i.outcome ->> 'type' = 'checkpoint'
                         and s.checkpoint -> 'cursor' = i.outcome -> 'cursor'
                        then 'duplicate'
                    else 'stale'
                end
                from tasker.steps s
                where s.task_id = i.task_id
                  and s.name = i.step
            ),
            'rejected'),
        i.claim_no
    from unnest(v_task_ids, v_steps, v_claim_nos, v_statuses, v_outcomes)
        i(task_id, step, claim_no, status, outcome);
end
$$;
comment on function tasker.submit_results(uuid, jsonb, interval) is
    'Stores results: [{"task_id","step","claim_no","outcome":{...},"duration_ms"}]. '
    'Outcomes: success, failure, decision, batches, checkpoint; docs/sql-api.md has their keys. '
    'Each is answered, in order: accepted; duplicate (this claim''s result is stored already); '
    'stale (the claim has passed to another, or the step is settled: nothing changed); '
    'busy (somebody holds the step: submit it again in a moment; '
    'p_wait: how long to wait for it, '
    'for a caller who submits as the last statement of a transaction); '
    'rejected (no such step, or an outcome of the wrong form or over max_result_bytes, '
    'which fails the step). One call, one commit.';
