create function tasker.process_step_results(p_max int, p_orchestrator_id uuid default null)
returns table (processed int, enqueued int, finished int, next_due_ms bigint, retried int, failed int, expired int)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off set jit = off as $$
declare
    v_msg_ids   bigint[];
    v_messages  jsonb[];
begin
    perform tasker.check_max(p_max);
    perform tasker.set_actor(p_orchestrator_id);
    -- Popped in a statement of its own: pgmq's inner query sees newer rows than the statement around it would.
    select array_agg(m.msg_id), array_agg(m.message) into v_msg_ids, v_messages
      from pgmq.pop('orchestration_step_results', p_max) m;
    if v_msg_ids is null then
        return query select 0, 0, 0, null::bigint, 0, 0, 0;
        return;
    end if;
    begin
        return query select cardinality(v_msg_ids), b.* from tasker.process_results_batch(v_msg_ids, v_messages) b;
        return;
    exception when others then
        if tasker.is_passing_error(sqlstate) then
            raise;
        end if;
    end;
    -- One message cannot be processed: one by one, so that the rest of its batch goes on.
    processed := cardinality(v_msg_ids); enqueued := 0; finished := 0; retried := 0; failed := 0; expired := 0;
    for v_n in 1 .. cardinality(v_msg_ids) loop
        declare
            v_done record;
        begin
            select * into v_done from tasker.process_results_batch(v_msg_ids[v_n:v_n], v_messages[v_n:v_n]);
            enqueued := enqueued + v_done.enqueued; finished := finished + v_done.finished;
            next_due_ms := least(next_due_ms, v_done.next_due_ms);
            retried := retried + v_done.retried; failed := failed + v_done.failed; expired := expired + v_done.expired;
        exception when others then
            if tasker.is_passing_error(sqlstate) then
                raise;
            end if;
            perform tasker.dead_letter('orchestration_step_results', v_msg_ids[v_n], v_messages[v_n], format('%s (SQLSTATE %s)', sqlerrm, sqlstate));
        end;
    end loop;
    return next;
end
$$;
comment on function tasker.process_step_results(int, uuid) is 'Takes up to p_max results and does all that follows from them: steps settled, children counted down and sent, tasks evaluated. One call, one commit. processed = 0: the queue is empty; retried, failed: steps that wait for another attempt, or have none left; expired: of the failed, by a lease that ran out.';
