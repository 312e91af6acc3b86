-- for: orchestrator
-- planner: enable_seqscan = off, jit = off
create function tasker.set_aside(p_max int)
returns int
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_msg_ids   bigint[];
    v_messages  jsonb[];
    v_kept      bigint[];
begin
    perform tasker.refuse_isolation();
    if tasker.limits() is not null then
        perform tasker.refuse_limited();
    end if;
    perform tasker.check_max(p_max);

    select array_agg(m.msg_id), array_agg(m.message)
    into v_msg_ids, v_messages
    from pgmq.pop('orchestration_step_results', p_max) m;
    v_kept := array(select tasker.set_results_aside(v_msg_ids, v_messages, false));

    -- Repetitions, and messages that are no result, stay in the queue.
    perform pgmq.send('orchestration_step_results', m.message)
    from unnest(v_msg_ids, v_messages) m(msg_id, message)
    where m.msg_id <> all (v_kept);

    return cardinality(v_kept);
end
$$;
comment on function tasker.set_aside(int) is
    'Sets up to p_max results aside for process_slow_result, after a process_step_results that '
    'exceeded statement_timeout: the slow one is processed alone, and the others go on.';
