create function tasker.initialize_apart(p_verdicts jsonb)
returns table (
    initialized  int,
    failed       int,
    enqueued     int,
    next_due_ms  bigint
)
language plpgsql volatile as $$
declare
    v_half      int := jsonb_array_length(p_verdicts) / 2;
    v_sqlstate  text;
    v_message   text;
    v_detail    text;
    v_task_id   uuid;
    v_msg_id    bigint;
begin
    begin
        return query select * from tasker.initialize_batch(p_verdicts);
        return;
    exception when others then
        if not tasker.may_divide(sqlstate, sqlerrm) then
            raise;
        end if;
        v_sqlstate := sqlstate;
        v_message := sqlerrm;
    end;

    -- The batch cannot be done as a whole: try each of its halves.
    if v_half > 0 then
        return query
            select
                sum(h.initialized)::int,
                sum(h.failed)::int,
                sum(h.enqueued)::int,
                min(h.next_due_ms)
            from (
                select jsonb_agg(e.verdict) as verdicts
                from jsonb_array_elements(p_verdicts) with ordinality e(verdict, n)
                group by e.n <= v_half
            ) v
            cross join lateral tasker.initialize_apart(v.verdicts) h;
        return;
    end if;

    -- One verdict is left, the culprit: its task ends in error, unless somebody holds it (55P03).
    if tasker.to_uuid(p_verdicts #>> '{0,task_id}') is null
       or coalesce(p_verdicts #>> '{0,msg_id}', '') !~ '^[0-9]{1,18}$' then
        perform tasker.refuse_list(p_verdicts -> 0, 'an element of p_verdicts');
    end if;
    v_task_id := (p_verdicts #>> '{0,task_id}')::uuid;
    -- A request that waited beside its queue has no message.
    v_msg_id := nullif((p_verdicts #>> '{0,msg_id}')::bigint, 0);
    v_detail := format('%s (SQLSTATE %s)', v_message, v_sqlstate);
    begin
        if v_sqlstate <> '55P03' and coalesce(p_verdicts #> '{0,error}', 'null') = 'null' then
            return query
                select b.*
                from tasker.initialize_batch(
                    jsonb_set(
                        p_verdicts,
                        '{0,error}',
                        jsonb_build_object(
                            'code', 'not_startable',
                            'message', 'the steps of the task cannot be created: ' || v_detail
                        )
                    )
                ) b;
            return;
        end if;
    exception when others then
        if not tasker.may_divide(sqlstate, sqlerrm) then
            raise;
        end if;
    end;

    -- Not even that can be done: the request becomes a dead letter.
    if v_sqlstate <> '55P03' then
        perform tasker.keep_dead_letter(
            'orchestration_task_requests', v_msg_id, p_verdicts -> 0, v_detail);
        perform tasker.postpone_requests(
            array[v_msg_id], array[v_task_id], array[v_task_id], tasker.clock());
        if v_msg_id is not null then
            perform pgmq.delete('orchestration_task_requests', v_msg_id);
        end if;
    end if;
    return query select 0, (v_sqlstate <> '55P03')::int, 0, null::bigint;
end
$$;
comment on function tasker.initialize_apart(jsonb) is
    'The work of initialize_tasks: a batch that fails is halved down to the culprit, whose task '
    'alone ends in error.';
