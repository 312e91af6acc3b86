create function tasker.claim_steps(p_namespace text, p_worker_id uuid, p_max int, p_lease interval default '30 s')
returns table (task_id uuid, step text, template_id uuid, template_step text, handler text, attempt int, claim_no int, context jsonb,
               inputs jsonb, parents jsonb, checkpoint jsonb, timeout interval, correlation_id uuid, traceparent text, lease interval, enqueued_at timestamptz, claimed_at timestamptz, expired boolean)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off set jit = off as $$
declare
    v_queue     text := tasker.worker_queue(p_namespace);
    v_lease     int := tasker.lease_seconds(p_lease);
    v_msg_ids   bigint[];
    v_messages  jsonb[];
    v_task_ids  uuid[] := '{}';
    v_steps     text[] := '{}';
    v_claimed   record;
    v_expired_tasks  uuid[];
    v_expired_steps  text[];
    v_want      int;
    v_found     int;
    v_own       int;
begin
    perform tasker.check_max(p_max);
    perform tasker.refuse_unknown_namespace(p_namespace);
    perform tasker.set_actor(p_worker_id);
    -- A read that brings messages of no use is followed by another, so that fewer than p_max means an empty queue:
    -- a worker waits then, and would wait with work there.
    for v_round in 1 .. 10 loop
        v_want := p_max - cardinality(v_task_ids);
        select array_agg(m.msg_id), array_agg(m.message) into v_msg_ids, v_messages from pgmq.read(v_queue, v_lease, v_want) m;
        exit when v_msg_ids is null;
        v_found := cardinality(v_msg_ids);
        v_claimed := tasker.claim_batch(v_queue, p_worker_id, v_msg_ids, v_messages);
        v_task_ids := v_task_ids || v_claimed.task_ids;
        v_steps := v_steps || v_claimed.steps;
        v_expired_tasks := v_expired_tasks || v_claimed.expired_tasks;
        v_expired_steps := v_expired_steps || v_claimed.expired_steps;
        if cardinality(array_remove(v_claimed.leases, null)) > 0 then
            for v_own, v_msg_ids in
                select tasker.lease_seconds(l.lease), array_agg(l.msg_id order by l.msg_id)
                  from unnest(v_claimed.msg_ids, v_claimed.leases) l(msg_id, lease) where l.lease is not null group by l.lease
            loop
                perform pgmq.set_vt(v_queue, v_msg_ids, v_own);
            end loop;
        end if;
        exit when v_found < v_want or cardinality(v_task_ids) = p_max;
    end loop;
    return query
        select c.*, exists (select from unnest(v_expired_tasks, v_expired_steps) x(task_id, step) where x.task_id = c.task_id and x.step = c.step)
          from tasker.claimed_steps(v_task_ids, v_steps) c;
end
$$;
comment on function tasker.claim_steps(text, uuid, int, interval) is 'Claims up to p_max steps of a namespace for a worker, with all their handlers need. A claim holds for p_lease, or for the step''s own lease where its template gives one: submit, extend, or release it before. expired: the lease of the claim before ran out. Every claim has a new claim_no, which all later calls carry. Errors: TK007 lease, TK001 namespace.';
