create function tasker.complete_steps(p_worker_id uuid, p_results jsonb, p_claim int default 0, p_handlers text[] default '{}', p_lease interval default '30 s')
returns table (task_id uuid, step text, status text, template_id uuid, template_step text, handler text, attempt int, claim_no int, context jsonb,
               inputs jsonb, parents jsonb, checkpoint jsonb, timeout interval, correlation_id uuid, traceparent text, lease interval, enqueued_at timestamptz, claimed_at timestamptz)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
declare
    v_now       timestamptz := tasker.clock();
    v_task_ids  uuid[];  v_steps text[];
    v_claims    int[];
    v_results   jsonb[];  v_decided jsonb[];
    v_free      uuid[];  v_templates uuid[];
    v_done      int[];  v_rest int[];  v_answers text[];
    v_owners    uuid[];  v_msg_ids bigint[];
    v_settled   tasker.settled_step[];
    v_claimed_tasks  uuid[];  v_claimed_steps text[];
begin
    perform tasker.refuse_isolation();
    perform tasker.refuse_list(p_results, 'p_results') where jsonb_typeof(p_results) <> 'array';
    if tasker.limits() is not null then p_results := tasker.own_claims(p_results); end if;
    perform tasker.set_actor(p_worker_id);
    -- Successes and decisions only: failures, batches, results over the limit, and whatever else there is, take the way by the queue.
    select tasker.to_uuids(array_agg(e.r ->> 'task_id')), array_agg(e.r ->> 'step'), tasker.to_ints(array_agg(e.r ->> 'claim_no')),
           array_agg(case when e.r #>> '{outcome,type}' = 'success' and (pg_column_size(e.r) <= 1000 or tasker.result_too_large(e.r #> '{outcome,result}') is null)
                            or e.r #>> '{outcome,type}' = 'decision' and tasker.outcome_error(e.r ->> 'task_id', e.r ->> 'step', e.r -> 'outcome') is null
                          then coalesce(e.r #> '{outcome,result}', 'null') end),
           array_agg(case when e.r #>> '{outcome,type}' = 'decision' then (e.r -> 'outcome') - '{type,result}'::text[] end)
      into v_task_ids, v_steps, v_claims, v_results, v_decided
      from jsonb_array_elements(p_results) e(r);
    -- Tasks that nobody holds, so that this never waits; locked in one statement, read in the next. In a gated namespace
    -- an orchestrator decides what is sent.
    with free as materialized (
        select t.task_id, t.template_id from tasker.tasks t
         where t.task_id = any (v_task_ids) and t.completed_at is null and t.namespace not in (select g.namespace from tasker.every_gated_namespace g)
         order by t.task_id for no key update skip locked
    )
    select array_agg(f.task_id), array_agg(f.template_id) into v_free, v_templates from free f;
    -- Of their steps those that nobody holds either: a transaction that has submitted one holds it.
    with held as materialized (
        select r.*
          from (select distinct on (i.task_id, i.step) i.*, f.template_id
                  from unnest(v_task_ids, v_steps, v_claims, v_results, v_decided) with ordinality i(task_id, step, claim_no, result, decided, n)
                  join unnest(v_free, v_templates) f(task_id, template_id) on f.task_id = i.task_id
                 where i.result is not null
                 order by i.task_id, i.step, i.n) r
         cross join lateral (select from tasker.steps s where s.task_id = r.task_id and s.name = r.step and s.claim_no = r.claim_no and s.state = 'in_progress' for no key update skip locked) s
    ), done as (
        update tasker.steps s
           set state = 'complete', satisfied = true, result = r.result, result_bytes = octet_length(r.result::text), decided = r.decided, error = null, completed_at = v_now, updated_at = v_now,
               duration_ms = tasker.to_count(p_results #> array[(r.n - 1)::text, 'duration_ms'])
          from held r
         where s.task_id = r.task_id and s.name = r.step and s.claim_no = r.claim_no and s.state = 'in_progress' and s.decides = (r.decided is not null)
        returning r.n::int, s.task_id, r.template_id, s.name, s.template_step, s.state, s.msg_id, s.decides, s.result_bytes
    )
    select array_agg(d.n), array_agg(d.task_id), array_agg(d.msg_id),
           array_agg(row(d.task_id, d.template_id, d.name, d.template_step, d.state, null, null, true, d.decides, d.result_bytes)::tasker.settled_step)
      into v_done, v_owners, v_msg_ids, v_settled from done d;
    if v_done is not null then
        select a.claimed_tasks, a.claimed_steps into v_claimed_tasks, v_claimed_steps
          from tasker.advance_tasks(v_settled, v_now, '{}', p_claim, p_handlers, p_worker_id, tasker.lease_seconds(p_lease)) a;
        perform tasker.delete_messages(v_owners, v_msg_ids);
        perform tasker.send_events(p_results, v_done);
    end if;
    if cardinality(v_done) is distinct from cardinality(v_task_ids) then
        v_rest := array(select n from generate_subscripts(v_task_ids, 1) n where n <> all (coalesce(v_done, '{}')) order by n);
        v_answers := array(select r.status from tasker.submit_results(p_worker_id, (
            select coalesce(jsonb_agg(p_results -> (r.n - 1) order by r.n), '[]') from unnest(v_rest) r(n))) r);
    end if;
    return query
        select v_task_ids[r.n], v_steps[r.n], r.status, null::uuid, null, null, null::int, v_claims[r.n], null::jsonb, null::jsonb, null::jsonb, null::jsonb, null::interval, null::uuid, null, null::interval, null::timestamptz, null::timestamptz
          from (select d.n, 'accepted' as status from unnest(v_done) d(n) union all select * from unnest(v_rest, v_answers)) r order by r.n;
    if v_claimed_tasks is not null then
        return query
            select c.task_id, c.step, 'claimed', c.template_id, c.template_step, c.handler, c.attempt, c.claim_no, c.context, c.inputs, c.parents, c.checkpoint,
                   c.timeout, c.correlation_id, c.traceparent, c.lease, c.enqueued_at, c.claimed_at
              from tasker.claimed_steps(v_claimed_tasks, v_claimed_steps) c;
    end if;
end
$$;
comment on function tasker.complete_steps(uuid, jsonb, int, text[], interval) is 'submit_results, and for successes and decisions in tasks that nobody holds at this moment also what an orchestrator would do next, in the same commit: the children are counted down or made, sent, and up to p_claim of them with a handler in p_handlers claimed for this worker, the task evaluated. The rest takes the way by the queue. Same elements and answers, in order, with their claim_no; then a row with status claimed and the columns of claim_steps for each claim.';
