-- for: orchestrator
-- planner: plan_cache_mode = force_generic_plan, enable_seqscan = off, jit = off
create function tasker.process_slow_result(
    p_orchestrator_id  uuid default null,
    p_others_go_on     boolean default false
)
returns table (
    processed    int,
    enqueued     int,
    finished     int,
    next_due_ms  bigint,
    retried      int,
    failed       int,
    expired      int,
    timed_out    int
)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '100ms'
as $$
declare
    c_tries      constant int := 3;
    v_begun      timestamptz := clock_timestamp();
    v_row        tasker.slow_results;
    v_done       record;
    v_timed_out  boolean;
begin
    perform tasker.refuse_isolation();
    if tasker.limits() is not null then
        perform tasker.refuse_limited();
    end if;
    perform tasker.set_actor(p_orchestrator_id);

    select *
    into v_row
    from tasker.slow_results r
    where r.next_at <= tasker.clock()
    order by r.next_at
    limit 1
    for update skip locked;
    if not found then
        return query select 0, 0, 0, null::bigint, 0, 0, 0, 0;
        return;
    end if;

    v_done := tasker.try_slow_result(v_row, v_begun);
    v_timed_out := coalesce(v_done.code = 'result_takes_too_long', false);

    -- A result whose task is held comes again; so does one that took too long, later each time,
    -- until its tries are used up.
    if v_done.held
       or v_timed_out and (
           v_row.tries + 1 < c_tries
           or not p_others_go_on
           or v_row.first_tried_at > tasker.clock() - interval '1 minute'
       )
    then
        perform tasker.postpone_slow_result(v_row, v_timed_out);
        return query select 0, 0, 0, null::bigint, 0, 0, 0, v_timed_out::int;
        return;
    end if;

    -- The result cannot be processed: its step fails, or else the result becomes a dead letter.
    if v_done.code is not null then
        v_done := tasker.fail_slow_result(v_row, v_done.code, v_done.message);
    end if;
    delete from tasker.slow_results r
    where r.task_id = v_row.task_id
      and r.step = v_row.step
      and r.claim_no = v_row.claim_no;
    return query
        select
            1,
            v_done.enqueued,
            v_done.finished,
            v_done.next_due_ms,
            v_done.retried,
            v_done.failed,
            v_done.expired,
            v_timed_out::int;
end
$$;
comment on function tasker.process_slow_result(uuid, boolean) is
    'Processes one result that was set aside, alone. timed_out: it took longer than '
    'statement_timeout and comes again, each time after a longer delay; after three tries over a '
    'minute its step fails with the code result_takes_too_long, if p_others_go_on (other results '
    'were processed meanwhile). A call that a user cancels does not count.';
