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

    -- One result is left: the culprit.
    return query
        select *
        from tasker.process_culprit(p_msg_ids[1], p_messages[1], v_sqlstate, v_message);
end
$$;
comment on function tasker.process_results_apart(bigint[], jsonb[]) is
    'Processes a batch of results that failed as a whole: halves it down to the culprit, which '
    'process_culprit handles.';
