create function tasker.send_steps(p_task_ids uuid[], p_steps text[], p_delay interval default '0') returns void
language plpgsql volatile set search_path = '' as $$
declare
    v_namespace text;
    v_messages  jsonb[];
    v_headers   jsonb[];
begin
    for v_namespace, v_messages, v_headers in
        select t.namespace,
               array_agg(jsonb_build_object('task_id', r.task_id, 'step', r.step) order by r.n),
               array_agg(jsonb_strip_nulls(jsonb_build_object('correlation_id', t.correlation_id, 'traceparent', t.traceparent))
                         order by r.n)
          from unnest(p_task_ids, p_steps) with ordinality r(task_id, step, n)
         cross join lateral (select * from tasker.tasks t where t.task_id = r.task_id offset 0) t
         group by t.namespace
    loop
        perform pgmq.send_batch(tasker.worker_queue(v_namespace), v_messages, v_headers, clock_timestamp() + p_delay);
        -- Nobody can see a delayed message yet. Woken now, the worker that gave it back would look again just when it can.
        if p_delay <= interval '0' then
            perform tasker.notify_queue(tasker.worker_queue(v_namespace));
        end if;
    end loop;
end
$$;
comment on function tasker.send_steps(uuid[], text[], interval) is 'Sends a reference to each step into the queue of its task''s namespace, and wakes its workers once, unless there is a delay.';
