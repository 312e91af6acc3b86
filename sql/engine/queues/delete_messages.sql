create function tasker.delete_messages(p_task_ids uuid[], p_msg_ids bigint[]) returns void
language plpgsql volatile set lock_timeout = '100ms' as $$
declare
    v_namespace  text;
    v_msg_ids    bigint[];
begin
    -- Queue by queue and, with bitmap scans turned off by the callers, message by message in one
    -- order, since those who extend leases lock the same rows.
    for v_namespace, v_msg_ids in
        select t.namespace, array_agg(i.msg_id)
        from unnest(p_task_ids, p_msg_ids) i(task_id, msg_id)
        cross join lateral (
            select t.namespace
            from tasker.tasks t
            where t.task_id = i.task_id
            offset 0
        ) t
        group by t.namespace
        order by t.namespace
    loop
        continue when not tasker.has_queue(tasker.worker_queue(v_namespace));
        begin
            perform pgmq.delete(tasker.worker_queue(v_namespace), v_msg_ids);
        exception when lock_not_available or deadlock_detected then
            -- A message that somebody holds may stay: its step is not enqueued, or is under another
            -- message, so that the next reader drops it.
            perform pgmq.delete(
                tasker.worker_queue(v_namespace),
                tasker.free_messages(tasker.worker_queue(v_namespace), v_msg_ids)
            );
        end;
    end loop;
end
$$;
comment on function tasker.delete_messages(uuid[], bigint[]) is
    'Deletes messages from the worker queues of the tasks they belong to. '
    'It waits a moment at most for a locked message or queue, and then leaves the messages to the '
    'workers that read them.';
