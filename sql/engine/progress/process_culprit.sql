create function tasker.process_culprit(
    p_msg_id    bigint,
    p_message   jsonb,
    p_sqlstate  text,
    p_error     text
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
declare
    v_sent  boolean := false;
begin
    begin
        if p_sqlstate = '55P03' then
            v_sent := tasker.postpone_result(
                p_message,
                tasker.to_uuid(p_message ->> 'task_id'),
                p_message ->> 'step',
                tasker.clock()
            );
        elsif tasker.is_passing_error(p_sqlstate) then
            v_sent := exists (
                select from tasker.set_results_aside(array[p_msg_id], array[p_message], true)
            );
            if not v_sent then
                return query
                    select *
                    from tasker.fail_result(
                        (tasker.to_uuids(array[p_message ->> 'task_id']))[1],
                        p_message ->> 'step',
                        (tasker.to_ints(array[p_message ->> 'claim_no']))[1],
                        'result_too_large',
                        format(
                            'the result cannot be processed, its changes are too large: %s '
                            '(SQLSTATE %s)',
                            p_error,
                            p_sqlstate
                        )
                    );
                return;
            end if;
        end if;
    exception when others then
        if not tasker.may_divide(sqlstate, sqlerrm) then
            raise;
        end if;
        v_sent := false;
    end;

    -- Nothing else was possible: the result becomes a dead letter.
    if not v_sent then
        perform tasker.keep_dead_letter(
            'orchestration_step_results',
            p_msg_id,
            p_message,
            format('%s (SQLSTATE %s)', p_error, p_sqlstate)
        );
    end if;
    return query select 0, 0, null::bigint, 0, 0, 0;
end
$$;
comment on function tasker.process_culprit(bigint, jsonb, text, text) is
    'Handles the one result of a batch that caused an error: if its task is locked, it comes '
    'again; a large one is set aside; one that is too large fails with its own code; any other '
    'becomes a dead letter.';
