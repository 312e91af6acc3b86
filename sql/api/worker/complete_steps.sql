-- for: worker
-- planner: plan_cache_mode = force_generic_plan, enable_seqscan = off
-- planner: enable_bitmapscan = off, jit = off
create function tasker.complete_steps(
    p_worker_id  uuid,
    p_results    jsonb,
    p_claim      int default 0,
    p_handlers   text[] default '{}',
    p_lease      interval default '30 s'
)
returns table (
    task_id   uuid,
    step      text,
    claim_no  int,
    status    text,
    claim     tasker.claim
)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_now       timestamptz := tasker.clock();
    v_read      record;
    v_done      record;
    v_tasks     uuid[];
    v_steps     text[];
    v_rest      int[];
    v_answers   text[];
    v_statuses  text[];
begin
    perform tasker.refuse_isolation();
    perform tasker.refuse_list(p_results, 'p_results') where jsonb_typeof(p_results) <> 'array';
    if tasker.limits() is not null then
        p_results := tasker.own_claims(p_results);
    end if;
    perform tasker.set_actor(p_worker_id);

    -- What can be settled here is, with all that follows from it.
    v_read := tasker.read_results(p_results);
    v_done := tasker.settle_free_steps(
        p_results,
        v_read.task_ids,
        v_read.steps,
        v_read.claim_nos,
        v_read.results,
        v_read.decided,
        v_now);
    if v_done.numbers is not null then
        select a.claimed_tasks, a.claimed_steps
        into v_tasks, v_steps
        from tasker.advance_tasks(
            v_done.settled,
            v_now,
            '{}',
            coalesce(p_claim, 0),
            p_handlers,
            p_worker_id,
            tasker.lease_seconds(p_lease)) a;
        perform tasker.delete_messages(v_done.task_ids, v_done.msg_ids);
        perform tasker.send_events(p_results, v_done.numbers);
    end if;

    -- The rest goes by the queue.
    v_statuses := array_fill('accepted'::text, array[coalesce(cardinality(v_read.task_ids), 0)]);
    if cardinality(v_done.numbers) is distinct from cardinality(v_read.task_ids) then
        v_rest := array(
            select n
            from generate_subscripts(v_read.task_ids, 1) n
            where n <> all (coalesce(v_done.numbers, '{}'))
            order by n
        );
        v_answers := array(
            select r.status
            from tasker.submit_results(p_worker_id, (
                select coalesce(jsonb_agg(p_results -> (r.n - 1) order by r.n), '[]')
                from unnest(v_rest) r(n)
            )) r
        );
        for v_n in 1 .. cardinality(v_rest) loop
            v_statuses[v_rest[v_n]] := v_answers[v_n];
        end loop;
    end if;

    return query
        select r.task_id, r.step, r.claim_no, r.status, null::tasker.claim
        from unnest(v_read.task_ids, v_read.steps, v_read.claim_nos, v_statuses)
            with ordinality r(task_id, step, claim_no, status, n)
        order by r.n;
    if v_tasks is not null then
        return query
            select c.task_id, c.step, c.claim_no, 'claimed', c::tasker.claim
            from tasker.claimed_steps(v_tasks, v_steps) c;
    end if;
end
$$;
comment on function tasker.complete_steps(uuid, jsonb, int, text[], interval) is
    'Does what submit_results does. For successes and decisions in tasks that are not locked, it '
    'also does the orchestrator''s work in the same commit: children are counted down or created, '
    'and sent; up to p_claim of them with a handler in p_handlers are claimed for this worker; the '
    'task is evaluated. The rest goes through the queue. Returns the rows of submit_results, in '
    'order, then a row with the status claimed for each claim.';
