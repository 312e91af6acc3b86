create function tasker.initialize_tasks(p_verdicts jsonb, p_orchestrator_id uuid default null)
returns table (initialized int, failed int, enqueued int, next_due_ms bigint)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off set jit = off as $$
declare
    v_one record;
begin
    perform tasker.set_actor(p_orchestrator_id);
    begin
        return query select * from tasker.initialize_batch(p_verdicts);
        return;
    exception when others then
        if tasker.is_passing_error(sqlstate) then
            raise;
        end if;
    end;
    -- Something in the batch cannot be done: one by one, so that the rest goes on.
    initialized := 0; failed := 0; enqueued := 0;
    for v_one in select e.verdict, row_number() over () from jsonb_array_elements(p_verdicts) e(verdict) loop
        declare
            v_done record;
        begin
            select * into v_done from tasker.initialize_batch(jsonb_build_array(v_one.verdict));
            initialized := initialized + v_done.initialized; failed := failed + v_done.failed; enqueued := enqueued + v_done.enqueued;
            next_due_ms := least(next_due_ms, v_done.next_due_ms);
        exception when others then
            if tasker.is_passing_error(sqlstate) then
                raise;
            end if;
            perform tasker.dead_letter('orchestration_task_requests', (v_one.verdict ->> 'msg_id')::bigint, v_one.verdict, format('%s (SQLSTATE %s)', sqlerrm, sqlstate));
            perform pgmq.delete('orchestration_task_requests', (v_one.verdict ->> 'msg_id')::bigint);
            failed := failed + 1;
        end;
    end loop;
    return next;
end
$$;
comment on function tasker.initialize_tasks(jsonb, uuid) is 'Creates the steps of new tasks and sends those that are ready. p_verdicts: [{"msg_id","task_id"}] as taken, with "error": {"message","code"} where the context was refused. One call, one commit.';
