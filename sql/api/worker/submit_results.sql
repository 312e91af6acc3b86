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
    v_now       timestamptz := tasker.clock();
    v_read      record;
    v_claims    record;
    v_yields    boolean;
    v_saved     int[];
    v_stored    int[];
    v_statuses  text[];
begin
    perform tasker.refuse_isolation();
    perform tasker.refuse_list(p_results, 'p_results') where jsonb_typeof(p_results) <> 'array';
    if tasker.limits() is not null then
        p_results := tasker.own_claims(p_results);
    end if;
    perform tasker.set_actor(p_worker_id);
    v_read := tasker.read_outcomes(p_results);
    if v_read.task_ids is null then
        return;
    end if;

    v_claims := tasker.hold_claims(v_read.task_ids, v_read.steps, v_read.claim_nos, p_wait);
    v_yields := exists (select from unnest(v_read.outcomes) o where o ->> 'type' = 'checkpoint');
    if v_claims.decides or v_yields then
        v_read.errors := tasker.refuse_pointless(
            v_read.task_ids, v_read.steps, v_read.outcomes, v_read.errors);
    end if;

    -- All outcomes but the checkpoints go on to the orchestrator.
    if v_yields then
        v_saved := tasker.save_checkpoints(
            p_worker_id,
            v_claims.held,
            v_read.task_ids,
            v_read.steps,
            v_read.claim_nos,
            v_read.outcomes,
            v_read.errors,
            v_now);
    end if;
    v_stored := tasker.store_outcomes(
        v_claims.held,
        v_read.task_ids,
        v_read.steps,
        v_read.outcomes,
        v_read.errors,
        v_read.durations,
        v_now);
    v_statuses := tasker.stored_statuses(v_stored || v_saved, v_read.errors);
    perform tasker.send_events(p_results, array_positions(v_statuses, 'accepted'));

    -- A result without a status was not stored: the state of its step says why.
    return query
    select
        i.task_id,
        i.step,
        coalesce(
            i.status,
            (
                select tasker.late_status(s, i.claim_no, i.outcome)
                from tasker.steps s
                where s.task_id = i.task_id
                  and s.name = i.step
            ),
            'rejected'),
        i.claim_no
    from unnest(v_read.task_ids, v_read.steps, v_read.claim_nos, v_statuses, v_read.outcomes)
        i(task_id, step, claim_no, status, outcome);
end
$$;
comment on function tasker.submit_results(uuid, jsonb, interval) is
    'Stores results: [{"task_id","step","claim_no","outcome":{...},"duration_ms"}]. '
    'Outcomes: success, failure, decision, batches, checkpoint, skip; docs/sql-api.md has their '
    'keys. '
    'Each is answered, in order: accepted; duplicate (this claim''s result is stored already); '
    'stale (the claim has passed to another, or the step is settled: nothing changed); busy '
    '(another transaction has locked the step: submit it again in a moment; p_wait: how long to '
    'wait for it, for a caller that submits in the last statement of a transaction); rejected (no '
    'such step, or an outcome of the wrong form or over max_result_bytes, which fails the step). '
    'One call, one commit.';
