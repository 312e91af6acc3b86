create function tasker.release_steps(p_worker_id uuid, p_claims jsonb, p_delay interval default '0', p_reason text default null)
returns table (task_id uuid, step text, status text)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
declare
    v_now       timestamptz := tasker.clock();
    v_task_ids  uuid[];
    v_steps     text[];
    v_msg_ids   bigint[];
begin
    perform tasker.refuse_list(p_claims, 'p_claims') where jsonb_typeof(p_claims) <> 'array';
    if tasker.limits() is not null then p_claims := tasker.own_claims(p_claims); end if;
    if p_reason is not null then
        perform tasker.refuse_hidden(p_reason, 'reason');
    end if;
    perform tasker.set_actor(p_worker_id, coalesce(left(p_reason, 1000), 'released'));
    with claims as (
        select distinct on (1, 2, 3) tasker.to_uuid(e.c ->> 'task_id') as task_id, e.c ->> 'step' as step, (tasker.to_ints(array[e.c ->> 'claim_no']))[1] as claim_no
          from jsonb_array_elements(p_claims) e(c)
         order by 1, 2, 3
    ), held as materialized (
        select s.task_id, s.name, s.msg_id from claims i
         cross join lateral (select * from tasker.steps s where s.task_id = i.task_id and s.name = i.step
                                and s.claim_no = i.claim_no and s.state = 'in_progress' for no key update) s
    ), moved as (
        -- enqueued_at stays: how long it has waited for a worker that can run it.
        update tasker.steps s
           set state = 'enqueued', attempt = s.attempt - 1, msg_id = null, worker_id = null, updated_at = v_now
          from held h
         where s.task_id = h.task_id and s.name = h.name
        returning s.task_id, s.name, h.msg_id
    )
    select array_agg(m.task_id), array_agg(m.name), array_agg(m.msg_id) into v_task_ids, v_steps, v_msg_ids from moved m;
    perform tasker.delete_messages(v_task_ids, v_msg_ids);
    -- A new message: the old one's id must never again match a claim. A short delay may wait in the queue.
    perform tasker.send_steps(v_task_ids, v_steps, least(p_delay, interval '1 minute'));
    perform tasker.set_actor(p_worker_id);
    return query
        select i.task_id, i.step, case when r.step is null then 'stale' else 'released' end
          from (select tasker.to_uuid(e.c ->> 'task_id') as task_id, e.c ->> 'step' as step from jsonb_array_elements(p_claims) e(c)) i
          left join unnest(v_task_ids, v_steps) r(task_id, step) on r.task_id = i.task_id and r.step = i.step;
end
$$;
comment on function tasker.release_steps(uuid, jsonb, interval, text) is 'Gives claims back, their attempt not counted, so that another worker takes the steps at once, or after p_delay (at most a minute). Answers released or stale.';
