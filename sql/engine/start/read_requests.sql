create function tasker.read_requests(
    p_max         int,
    out msg_ids   bigint[],
    out task_ids  uuid[],
    out more      boolean
)
language plpgsql volatile as $$
declare
    v_messages  jsonb[];
    v_dead      bigint[];
begin
    -- A request stays in the queue, unseen for 30 seconds, until initialize_tasks removes it.
    select
        array_agg(m.msg_id),
        array_agg(m.message),
        tasker.to_uuids(array_agg(m.message ->> 'task_id'))
    into msg_ids, v_messages, task_ids
    from pgmq.read('orchestration_task_requests', 30, p_max) m;
    more := coalesce(cardinality(msg_ids) = p_max, false);

    -- A message that names no task is a foreign one and goes to the dead letters. A request of a
    -- task that has begun is a repetition and is just removed.
    select array_agg(r.msg_id)
    into v_dead
    from unnest(msg_ids, task_ids) r(msg_id, task_id)
    left join lateral (
        select t.state from tasker.tasks t where t.task_id = r.task_id offset 0
    ) t on true
    where t.state is distinct from 'pending';
    if v_dead is not null then
        perform tasker.bury_requests(msg_ids, v_messages, task_ids);
        perform pgmq.delete('orchestration_task_requests', v_dead);
        select array_agg(r.msg_id), array_agg(r.task_id)
        into msg_ids, task_ids
        from unnest(msg_ids, task_ids) r(msg_id, task_id)
        where r.msg_id <> all (v_dead);
    end if;
end
$$;
comment on function tasker.read_requests(int) is
    'Reads up to p_max requests of pending tasks from their queue and removes requests without a '
    'pending task. more: the queue may have others.';
