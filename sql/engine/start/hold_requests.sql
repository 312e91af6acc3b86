create function tasker.hold_requests()
returns int
language plpgsql volatile as $$
declare
    c_slice     constant int := 10000;
    v_begun     timestamptz := clock_timestamp();
    v_msg_ids   bigint[];
    v_messages  jsonb[];
    v_task_ids  uuid[];
    v_held      int;
    v_taken     int := 0;
begin
    -- In slices, for half a second at most: a call stays short, however long the queue is.
    loop
        select
            array_agg(m.msg_id),
            array_agg(m.message),
            tasker.to_uuids(array_agg(m.message ->> 'task_id'))
        into v_msg_ids, v_messages, v_task_ids
        from pgmq.pop('orchestration_task_requests', c_slice) m;
        exit when v_msg_ids is null;

        insert into tasker.held_requests (task_id, namespace, next_at)
        select t.task_id, t.namespace, tasker.clock()
        from unnest(v_msg_ids, v_task_ids) r(msg_id, task_id)
        cross join lateral (
            select * from tasker.tasks t where t.task_id = r.task_id offset 0
        ) t
        where t.state = 'pending'
        order by r.msg_id
        on conflict do nothing;

        get diagnostics v_held = row_count;
        if v_held < cardinality(v_msg_ids) then
            perform tasker.bury_requests(v_msg_ids, v_messages, v_task_ids);
        end if;

        v_taken := v_taken + cardinality(v_msg_ids);
        exit when cardinality(v_msg_ids) < c_slice
               or clock_timestamp() > v_begun + interval '500 ms';
    end loop;
    return v_taken;
end
$$;
comment on function tasker.hold_requests() is
    'Moves requests from their queue to where they wait by namespace, so that a namespace with '
    'many requests does not delay others. Bounded by time.';
