create function tasker.claim_steps(p_namespace text, p_worker_id uuid, p_max int, p_lease interval default '30 s')
returns table (task_id uuid, step text, template_id uuid, template_step text, handler text, attempt int, claim_no int, context jsonb,
               inputs jsonb, parents jsonb, checkpoint jsonb, timeout interval, correlation_id uuid, traceparent text)
language plpgsql volatile security definer set search_path = '' set plan_cache_mode = force_generic_plan set enable_seqscan = off set jit = off as $$
declare
    v_queue     text := tasker.worker_queue(p_namespace);
    v_lease     int := tasker.lease_seconds(p_lease);
    v_msg_ids   bigint[];
    v_messages  jsonb[];
    v_task_ids  uuid[] := '{}';
    v_steps     text[] := '{}';
    v_want      int;
begin
    perform tasker.check_max(p_max);
    if not exists (select from tasker.namespaces n where n.namespace = p_namespace) then
        raise exception 'there is no namespace "%"', p_namespace
            using errcode = 'TK001', hint = 'A namespace comes into being with its first template: tasker template apply FILE, or tasker.apply_template.';
    end if;
    perform tasker.set_actor(p_worker_id);
    -- A read that brings messages of no use is followed by another, so that fewer than p_max means an empty queue:
    -- a worker waits then, and would wait with work there.
    for v_round in 1 .. 10 loop
        v_want := p_max - cardinality(v_task_ids);
        select array_agg(m.msg_id), array_agg(m.message) into v_msg_ids, v_messages from pgmq.read(v_queue, v_lease, v_want) m;
        exit when v_msg_ids is null;
        select v_task_ids || c.task_ids, v_steps || c.steps into v_task_ids, v_steps
          from tasker.claim_batch(v_queue, p_worker_id, v_msg_ids, v_messages) c;
        exit when cardinality(v_msg_ids) < v_want or cardinality(v_task_ids) = p_max;
    end loop;
    return query select * from tasker.claimed_steps(v_task_ids, v_steps);
end
$$;
comment on function tasker.claim_steps(text, uuid, int, interval) is 'Claims up to p_max steps of a namespace for a worker, with all their handlers need. A claim holds for p_lease: submit, extend, or release it before. Every claim has a new claim_no, which all later calls carry. Errors: TK007 lease, TK001 namespace.';
