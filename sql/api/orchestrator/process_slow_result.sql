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
    c_tries    constant int := 3;
    v_begun    timestamptz := clock_timestamp();
    v_limit    interval := nullif(current_setting('statement_timeout'), '0')::interval;
    v_row      tasker.slow_results;
    v_code     text;
    v_message  text;
begin
    perform tasker.refuse_isolation();
    if tasker.limits() is not null then
        perform tasker.refuse_limited();
    end if;
    perform tasker.set_actor(p_orchestrator_id);

    processed := 0;
    enqueued := 0;
    finished := 0;
    retried := 0;
    failed := 0;
    expired := 0;
    timed_out := 0;

    select *
    into v_row
    from tasker.slow_results r
    where r.next_at <= tasker.clock()
    order by r.next_at
    limit 1
    for update skip locked;
    if not found then
        return next;
        return;
    end if;

    begin
        -- A result whose task is held is processed later.
        if tasker.lock_free_tasks(array[v_row.task_id], true) is null
           and exists (select from tasker.tasks t where t.task_id = v_row.task_id) then
            raise exception 'task % is held', v_row.task_id
                using errcode = 'lock_not_available';
        end if;

        select b.*
        into enqueued, finished, next_due_ms, retried, failed, expired
        from tasker.process_results_batch(
            '{0}',
            array[tasker.result_message(v_row.task_id, v_row.step, v_row.claim_no)]
        ) b;
    exception
        when query_canceled then
            -- A call that ends before our own limit was cancelled by somebody.
            if v_limit is null or clock_timestamp() - v_begun < v_limit * 0.9 then
                raise;
            end if;

            -- It took too long. It comes again, later each time, until its tries are used up.
            timed_out := 1;
            if v_row.tries + 1 < c_tries
               or not p_others_go_on
               or v_row.first_tried_at > tasker.clock() - interval '1 minute' then
                update tasker.slow_results r
                set tries = r.tries + 1,
                    first_tried_at = coalesce(r.first_tried_at, tasker.clock()),
                    next_at = tasker.clock()
                        + least(interval '10 minutes', interval '15 s' * 2 ^ least(r.tries, 10))
                where r.task_id = v_row.task_id
                  and r.step = v_row.step
                  and r.claim_no = v_row.claim_no;
                return next;
                return;
            end if;
            v_code := 'result_takes_too_long';
            v_message := format(
                'what follows from the result was not done within %s in %s tries',
                v_limit,
                v_row.tries + 1
            );
        when others then
            if sqlstate = '55P03' then
                update tasker.slow_results r
                set next_at = tasker.clock() + interval '2 s'
                where r.task_id = v_row.task_id
                  and r.step = v_row.step
                  and r.claim_no = v_row.claim_no;
                return next;
                return;
            elsif not tasker.may_divide(sqlstate, sqlerrm) then
                raise;
            end if;
            v_code := case
                when tasker.is_passing_error(sqlstate) then 'result_too_large'
                else 'result_not_processed'
            end;
            v_message := format(
                'what follows from the result cannot be done: %s (SQLSTATE %s)',
                sqlerrm,
                sqlstate
            );
    end;

    -- The result cannot be processed: its step fails, or else the result becomes a dead letter.
    if v_code is not null then
        begin
            select f.*
            into enqueued, finished, next_due_ms, retried, failed, expired
            from tasker.fail_result(
                v_row.task_id,
                v_row.step,
                v_row.claim_no,
                v_code,
                v_message
            ) f;
        exception when others then
            if not tasker.may_divide(sqlstate, sqlerrm) then
                raise;
            end if;
            perform tasker.dead_letter(
                'orchestration_step_results',
                null,
                tasker.result_message(v_row.task_id, v_row.step, v_row.claim_no),
                v_message
            );
        end;
    end if;

    delete from tasker.slow_results r
    where r.task_id = v_row.task_id
      and r.step = v_row.step
      and r.claim_no = v_row.claim_no;
    processed := 1;
    return next;
end
$$;
comment on function tasker.process_slow_result(uuid, boolean) is
    'Processes one result that was set aside, alone. '
    'timed_out: it took longer than statement_timeout and comes again, later each time; '
    'after three tries over a minute its step fails with the code result_takes_too_long, '
    'if p_others_go_on (other results were processed meanwhile). '
    'A call that somebody cancels does not count.';
