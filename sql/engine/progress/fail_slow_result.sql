create function tasker.fail_slow_result(
    p_result         tasker.slow_results,
    p_code           text,
    p_message        text,
    out enqueued     int,
    out finished     int,
    out next_due_ms  bigint,
    out retried      int,
    out failed       int,
    out expired      int
)
language plpgsql volatile as $$
begin
    select f.*
    into enqueued, finished, next_due_ms, retried, failed, expired
    from tasker.fail_result(
        p_result.task_id,
        p_result.step,
        p_result.claim_no,
        p_code,
        p_message
    ) f;
exception when others then
    if not tasker.may_divide(sqlstate, sqlerrm) then
        raise;
    end if;
    perform tasker.keep_dead_letter(
        'orchestration_step_results',
        null,
        tasker.result_message(p_result.task_id, p_result.step, p_result.claim_no),
        p_message
    );
    enqueued := 0;
    finished := 0;
    retried := 0;
    failed := 0;
    expired := 0;
end
$$;
comment on function tasker.fail_slow_result(tasker.slow_results, text, text) is
    'Fails the step of a result that was set aside and cannot be processed; if even that fails, '
    'the result becomes a dead letter.';
