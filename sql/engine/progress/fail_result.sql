create function tasker.fail_result(
    p_task_id   uuid,
    p_step      text,
    p_claim_no  int,
    p_code      text,
    p_message   text
)
returns table (
    enqueued     int,
    finished     int,
    next_due_ms  bigint,
    retried      int,
    failed       int,
    expired      int
)
language plpgsql volatile as $$
begin
    -- The step has failed, since the effects of its outcome cannot be brought about.
    update tasker.steps s
    set error = jsonb_build_object('message', p_message, 'code', p_code, 'retryable', false),
        result = null,
        decided = null
    where s.task_id = p_task_id
      and s.name = p_step
      and s.claim_no = p_claim_no
      and s.state = 'enqueued_for_orchestration';

    return query
        select *
        from tasker.process_results_batch(
            '{0}',
            array[tasker.result_message(p_task_id, p_step, p_claim_no)]
        );
end
$$;
comment on function tasker.fail_result(uuid, text, int, text, text) is
    'Processes a stored result as a permanent failure with this code, '
    'since it cannot be processed as it is.';
