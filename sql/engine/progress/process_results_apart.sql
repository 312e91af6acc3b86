create function tasker.process_results_apart(p_msg_ids bigint[], p_messages jsonb[])
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
    v_half      int := cardinality(p_msg_ids) / 2;
    v_sqlstate  text;
    v_message   text;
    v_sent      boolean := false;
begin
    if v_half is null then
        return query select 0, 0, null::bigint, 0, 0, 0;
        return;
    end if;

    begin
        return query
            select * from tasker.process_results_batch(p_msg_ids, p_messages, false, false);
        return;
    exception when others then
        if not tasker.may_divide(sqlstate, sqlerrm) then
            raise;
        end if;
        v_sqlstate := sqlstate;
        v_message := sqlerrm;
    end;

    -- The batch cannot be processed as a whole: try each of its halves.
    if v_half > 0 then
        return query
            select
                sum(h.enqueued)::int,
                sum(h.finished)::int,
                min(h.next_due_ms),
                sum(h.retried)::int,
                sum(h.failed)::int,
                sum(h.expired)::int
            from (
                select *
                from tasker.process_results_apart(p_msg_ids[:v_half], p_messages[:v_half])
                union all
                select *
                from tasker.process_results_apart(
                    p_msg_ids[v_half + 1:],
                    p_messages[v_half + 1:]
                )
            ) h;
        return;
    end if;

    -- One result is left, the culprit: send it later, set it aside, or let its step fail.
    begin
        if v_sqlstate = '55P03' then
            v_sent := tasker.postpone_result(
                p_messages[1],
                tasker.to_uuid(p_messages[1] ->> 'task_id'),
                p_messages[1] ->> 'step',
                tasker.clock()
            );
        elsif not tasker.is_passing_error(v_sqlstate) then
            v_sent := false;
        elsif exists (select from tasker.set_results_aside(p_msg_ids, p_messages, true)) then
            v_sent := true;
        else
            return query
                select f.*
                from tasker.to_uuids(array[p_messages[1] ->> 'task_id']) t(ids)
                cross join tasker.to_ints(array[p_messages[1] ->> 'claim_no']) c(nos)
                cross join tasker.fail_result(
                    t.ids[1],
                    p_messages[1] ->> 'step',
                    c.nos[1],
                    'result_too_large',
                    format(
                        'what follows from the result is too large: %s (SQLSTATE %s)',
                        v_message,
                        v_sqlstate
                    )
                ) f;
            return;
        end if;
    exception when others then
        if not tasker.may_divide(sqlstate, sqlerrm) then
            raise;
        end if;
        v_sent := false;
    end;

    -- Nothing else was possible: the result becomes a dead letter.
    if not v_sent then
        perform tasker.dead_letter(
            'orchestration_step_results',
            p_msg_ids[1],
            p_messages[1],
            format('%s (SQLSTATE %s)', v_message, v_sqlstate)
        );
    end if;
    return query select 0, 0, null::bigint, 0, 0, 0;
end
$$;
comment on function tasker.process_results_apart(bigint[], jsonb[]) is
    'Goes on where a batch of results could not be processed: halves it down to the culprit. '
    'One whose task somebody holds comes again, a large one is set aside, '
    'one that is too large fails by name, any other becomes a dead letter.';
