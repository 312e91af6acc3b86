-- for: worker
-- planner: plan_cache_mode = force_generic_plan, enable_seqscan = off, jit = off
create function tasker.claim_steps(
    p_namespace  text,
    p_worker_id  uuid,
    p_max        int,
    p_lease      interval default '30 s',
    p_handlers   text[] default null
)
returns setof tasker.claim
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_queue     text := tasker.worker_queue(p_namespace);
    v_lease     int := tasker.lease_seconds(p_lease);
    v_msg_ids   bigint[];
    v_messages  jsonb[];
    v_task_ids  uuid[] := '{}';
    v_steps     text[] := '{}';
    v_expired   bigint[];
    v_claimed   record;
    v_beside    boolean;
    v_parked    int := 0;
    v_want      int;
    v_read      int;
    v_bytes     bigint := 0;
    v_most      bigint := (select c.max_claim_bytes from tasker.settings c);
    v_empty     boolean := false;
    v_done      boolean;
    v_full      boolean := false;
begin
    perform tasker.refuse_isolation();
    perform tasker.check_max(p_max);
    perform tasker.refuse_unknown_namespace(p_namespace);
    perform tasker.set_actor(p_worker_id);
    v_beside := exists (select from tasker.parked_steps p where p.namespace = p_namespace);

    -- In turn from beside the queue and from the queue, so that neither waits for the other to be
    -- empty: half of one, the other, and the rest of the first. A read that brings messages of no
    -- use is followed by another, so that fewer than p_max means an empty queue: a worker waits
    -- then, and would wait with work there. What is parked on the way is read in large batches.
    for v_round in 1 .. 20 loop
        v_want := p_max - cardinality(v_task_ids);
        exit when v_want = 0;
        if v_beside and (v_round = 1 or v_empty) then
            v_claimed := tasker.claim_parked(
                p_namespace,
                p_worker_id,
                case when v_empty then v_want else (p_max + (random() < 0.5)::int) / 2 end,
                v_lease,
                p_handlers,
                case when v_bytes > 0 then v_most - v_bytes end);
            v_done := v_empty;
        else
            v_read := case when v_parked > 0 then greatest(v_want, 1000) else v_want end;
            select array_agg(m.msg_id), array_agg(m.message)
            into v_msg_ids, v_messages
            from pgmq.read(v_queue, v_lease, v_read) m;
            v_empty := coalesce(cardinality(v_msg_ids), 0) < v_read;
            v_done := v_empty and not v_beside;
            continue when v_msg_ids is null and not v_done;
            exit when v_msg_ids is null;

            v_claimed := tasker.claim_batch(
                v_queue,
                p_worker_id,
                v_msg_ids,
                v_messages,
                p_lease,
                p_handlers,
                null,
                v_want,
                case when v_bytes > 0 then v_most - v_bytes end);
            v_parked := v_parked + v_claimed.parked;
            perform tasker.set_own_leases(v_queue, v_claimed.msg_ids, v_claimed.leases);
        end if;
        v_task_ids := v_task_ids || v_claimed.task_ids;
        v_steps := v_steps || v_claimed.steps;
        v_expired := v_expired || v_claimed.expired;
        v_bytes := v_bytes + v_claimed.bytes;
        v_full := v_claimed.is_full and cardinality(v_task_ids) < p_max;
        exit when v_done or v_full;
    end loop;

    -- Those that have the handlers of what was parked may have looked just before; and more is
    -- there than fits into an answer, or than could be looked at.
    if v_parked > 0 or v_full or not v_done and cardinality(v_task_ids) < p_max then
        perform tasker.notify_queue(v_queue);
    end if;
    return query select c.* from tasker.claimed_steps(v_task_ids, v_steps, v_expired) c;
end
$$;
comment on function tasker.claim_steps(text, uuid, int, interval, text[]) is
    'Claims up to p_max steps of a namespace for a worker, with everything their handlers need. '
    'p_handlers: only steps of these handlers (*: any except !name; null: any); others are parked '
    'for workers that have theirs. A claim holds for p_lease, or for the lease that the template '
    'gives the step: submit, extend, or release it before then. '
    'expired: the lease of the previous claim ran out. lease_losses: how many claims in a row were '
    'lost. run_alone: two workers died with it; call tasker.run_alone and run it with no other '
    'step beside it. At most max_claim_bytes of contexts, inputs, checkpoints, and results of '
    'parents, as text: the rest stays in the queue; parents is null if a step''s own parents '
    'exceed it: read them with parent_results. Every claim has a new claim_no, which all later '
    'calls carry. Errors: TK007 lease, TK001 namespace.';
