-- for: orchestrator
-- planner: plan_cache_mode = force_generic_plan, enable_seqscan = off, jit = off
create function tasker.process_step_results(
    p_max              int,
    p_orchestrator_id  uuid default null,
    p_large            boolean default true
)
returns table (
    processed    int,
    enqueued     int,
    finished     int,
    next_due_ms  bigint,
    retried      int,
    failed       int,
    expired      int,
    set_aside    int
)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
-- Workers hold a task for milliseconds. Nobody waits for one who holds it much longer.
set lock_timeout = '500ms'
as $$
declare
    v_msg_ids   bigint[];
    v_messages  jsonb[];
begin
    perform tasker.refuse_isolation();
    if tasker.limits() is not null then
        perform tasker.refuse_limited();
    end if;
    perform tasker.check_max(p_max);
    perform tasker.set_actor(p_orchestrator_id);

    -- Popped in a statement of its own: pgmq's inner query sees newer rows than the statement
    -- around it would.
    select array_agg(m.msg_id), array_agg(m.message)
    into v_msg_ids, v_messages
    from pgmq.pop('orchestration_step_results', p_max) m;

    -- Where the queue is empty, there is time for a result that was set aside.
    if v_msg_ids is null and p_large then
        return query
            select
                s.processed,
                s.enqueued,
                s.finished,
                s.next_due_ms,
                s.retried,
                s.failed,
                s.expired,
                0
            from tasker.process_slow_result(p_orchestrator_id) s;
        return;
    elsif v_msg_ids is null then
        return query select 0, 0, 0, null::bigint, 0, 0, 0, 0;
        return;
    end if;

    begin
        return query
            select cardinality(v_msg_ids), b.*, 0
            from tasker.process_results_batch(
                v_msg_ids,
                v_messages,
                true,
                p_large and cardinality(v_msg_ids) = 1
            ) b;
        return;
    exception when others then
        if not tasker.may_divide(sqlstate, sqlerrm) then
            raise;
        end if;
    end;

    -- The batch failed as a whole: find the result that is to blame.
    select cardinality(v_msg_ids), b.*
    into processed, enqueued, finished, next_due_ms, retried, failed, expired
    from tasker.process_results_apart(v_msg_ids, v_messages) b;
    set_aside := (select count(*) from tasker.slow_results);
    return next;
end
$$;
comment on function tasker.process_step_results(int, uuid, boolean) is
    'Takes up to p_max results and applies them: steps are settled, children counted down and '
    'sent, tasks evaluated. One call, one commit. Never waits for a lock: a result whose task is '
    'locked comes again in a moment. A result that creates many instances is set aside for '
    'process_slow_result; p_large: one such result is processed here when nothing else waits. '
    'processed = 0: the queue is empty; retried: steps that wait for another attempt; failed: '
    'steps with no attempts left; expired: failed steps whose lease ran out; set_aside: results '
    'that wait for process_slow_result, if this call set any aside.';
