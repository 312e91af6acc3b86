create function tasker.try_slow_result(
    p_result         tasker.slow_results,
    p_begun          timestamptz,
    out enqueued     int,
    out finished     int,
    out next_due_ms  bigint,
    out retried      int,
    out failed       int,
    out expired      int,
    out held         boolean,
    out code         text,
    out message      text
)
language plpgsql volatile as $$
declare
    v_limit  interval := nullif(current_setting('statement_timeout'), '0')::interval;
begin
    held := false;
    if tasker.lock_free_tasks(array[p_result.task_id], true) is null
       and exists (select from tasker.tasks t where t.task_id = p_result.task_id) then
        held := true;
        return;
    end if;

    select b.*
    into enqueued, finished, next_due_ms, retried, failed, expired
    from tasker.process_results_batch(
        '{0}',
        array[tasker.result_message(p_result.task_id, p_result.step, p_result.claim_no)]
    ) b;
exception
    when query_canceled then
        -- A call that ends before our own limit was cancelled by somebody.
        if v_limit is null or clock_timestamp() - p_begun < v_limit * 0.9 then
            raise;
        end if;
        code := 'result_takes_too_long';
        message := format(
            'the result was not processed within %s in %s tries',
            v_limit,
            p_result.tries + 1
        );
    when lock_not_available then
        held := true;
    when others then
        if not tasker.may_divide(sqlstate, sqlerrm) then
            raise;
        end if;
        code := case
            when tasker.is_passing_error(sqlstate) then 'result_too_large'
            else 'result_not_processed'
        end;
        message := format(
            'the result cannot be processed: %s (SQLSTATE %s)',
            sqlerrm,
            sqlstate
        );
end
$$;
comment on function tasker.try_slow_result(tasker.slow_results, timestamptz) is
    'Processes a result that was set aside. held: a row that it needs is locked. '
    'code, message: why it cannot be processed. p_begun: when the caller''s statement began.';
