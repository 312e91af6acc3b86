create function tasker.extend_leases(p_worker_id uuid, p_claims jsonb, p_lease interval default '30 s')
returns table (task_id uuid, step text, status text)
language plpgsql volatile security definer set search_path = '' set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_bitmapscan = off set jit = off set lock_timeout = '100ms' as $$
declare
    v_asked      int := tasker.lease_seconds(p_lease);
    v_lease      int;
    v_namespace  text;
    v_msg_ids    bigint[];
    v_msg_id     bigint;
begin
    -- Messages are locked in one order, see delete_messages.
    -- Reads steps and locks none of them: a handler's own transaction may hold its step.
    for v_namespace, v_lease, v_msg_ids in
        select t.namespace, case when p.lease is null then v_asked else tasker.lease_seconds(p.lease) end as lease, array_agg(s.msg_id order by s.msg_id)
          from jsonb_array_elements(p_claims) e(c)
          join tasker.steps s on s.task_id = tasker.to_uuid(e.c ->> 'task_id') and s.name = e.c ->> 'step'
          join tasker.tasks t on t.task_id = s.task_id
          join tasker.template_steps p on p.template_id = t.template_id and p.name = s.template_step
         where s.state = 'in_progress' and s.claim_no = (tasker.to_ints(array[e.c ->> 'claim_no']))[1] and t.completed_at is null
         group by t.namespace, 2
         order by t.namespace, 2
    loop
        begin
            perform pgmq.set_vt(tasker.worker_queue(v_namespace), v_msg_ids, v_lease);
        exception when lock_not_available then
            -- Such a transaction has submitted and not yet committed: it holds its message, whose lease ends with it. The
            -- other claims of the process must not run out meanwhile, nor can a deadlock come of waiting.
            foreach v_msg_id in array v_msg_ids loop
                begin
                    perform pgmq.set_vt(tasker.worker_queue(v_namespace), v_msg_id, v_lease);
                exception when lock_not_available then
                    null;
                end;
            end loop;
        end;
    end loop;
    return query
        select i.task_id, i.step,
               case when s.state = 'cancelled' or t.completed_at is not null then 'cancelled'
                    when s.state = 'in_progress' and s.claim_no = i.claim_no then 'extended'
                    else 'stale' end
          from (select tasker.to_uuid(e.c ->> 'task_id') as task_id, e.c ->> 'step' as step, (tasker.to_ints(array[e.c ->> 'claim_no']))[1] as claim_no
                  from jsonb_array_elements(p_claims) e(c)) i
          left join tasker.steps s on s.task_id = i.task_id and s.name = i.step
          left join tasker.tasks t on t.task_id = i.task_id;
end
$$;
comment on function tasker.extend_leases(uuid, jsonb, interval) is 'Holds claims from now, for p_lease or the step''s own lease: [{"task_id","step","claim_no"}] of any namespaces. Answers extended; stale (the claim has passed to another); cancelled (stop the handler). One statement serves a whole process. Error: TK007 lease.';
