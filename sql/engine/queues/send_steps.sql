create function tasker.send_steps(
    p_task_ids  uuid[],
    p_steps     text[],
    p_delay     interval default '0'
)
returns table (task_id uuid, step text, msg_id bigint)
language plpgsql volatile as $$
declare
    v_namespace  text;
    v_task_ids   uuid[];
    v_steps      text[];
    v_messages   jsonb[];
    v_headers    jsonb[];
    v_ids        uuid[] := p_task_ids;
    v_names      text[] := p_steps;
begin
    -- Steps are parked only where workers differ in their handlers. A message with a delay is
    -- a claim's, or waits for its time in the queue.
    if p_delay <= interval '0' and exists (select from tasker.parked_handlers) then
        select u.other_tasks, u.other_steps
        into v_ids, v_names
        from tasker.send_beside(p_task_ids, p_steps) u;
    end if;

    for v_namespace, v_task_ids, v_steps, v_messages, v_headers in
        select
            t.namespace,
            array_agg(r.task_id),
            array_agg(r.step),
            array_agg(jsonb_build_object('task_id', r.task_id, 'step', r.step)),
            array_agg(jsonb_strip_nulls(jsonb_build_object(
                'correlation_id', t.correlation_id,
                'traceparent', t.traceparent
            )))
        from unnest(v_ids, v_names) r(task_id, step)
        cross join lateral (
            select *
            from tasker.tasks t
            where t.task_id = r.task_id
            offset 0
        ) t
        group by t.namespace
    loop
        -- A queue that is gone stops no other namespace. The safety net sends again once it is
        -- back.
        continue when not tasker.has_queue(tasker.worker_queue(v_namespace));

        return query
            select s.task_id, s.step, s.msg_id
            from unnest(
                v_task_ids,
                v_steps,
                array(
                    select pgmq.send_batch(
                        tasker.worker_queue(v_namespace),
                        v_messages,
                        v_headers,
                        clock_timestamp() + p_delay
                    )
                )
            ) s(task_id, step, msg_id);

        -- Nobody can see a delayed message yet. Woken now, the worker that gave it back would look
        -- again just when it can.
        if p_delay <= interval '0' then
            perform tasker.notify_queue(tasker.worker_queue(v_namespace));
        end if;
    end loop;
end
$$;
comment on function tasker.send_steps(uuid[], text[], interval) is
    'Sends a reference to each step into the queue of its task''s namespace, or beside it where '
    'some worker lacks its handler, and wakes its workers once, unless there is a delay. '
    'Returns the steps sent into queues; a step whose queue is gone is left out.';
