create function tasker.resend_steps(p_max int, p_now timestamptz)
returns int
language plpgsql volatile as $$
declare
    v_task_ids  uuid[];
    v_steps     text[];
    v_oldest    timestamptz[];
    v_locked    uuid[];
begin
    -- A step that is in progress has its message until its result is stored, so it is looked for
    -- here too. Tasks are looked for first, then locked: few steps are lost, and many may be
    -- running.
    with queues as materialized (
        select
            namespace.namespace,
            -- Null where the queue is gone: nothing can be sent there.
            case
                when message.at < p_now - interval '1 minute' then message.at
                when message.at is not null then p_now - interval '1 minute'
            end as oldest
        from tasker.namespaces namespace
        cross join lateral (
            select tasker.oldest_message(tasker.worker_queue(namespace.namespace)) as at offset 0
        ) message
    )
    select array_agg(lost.task_id), array_agg(lost.oldest)
    into v_task_ids, v_oldest
    from (
        select task.task_id, queues.oldest
        from tasker.tasks task
        join queues on queues.namespace = task.namespace
        where task.completed_at is null
          and task.active > 0
          and task.updated_at < queues.oldest
          and exists (
            select
            from tasker.steps step
            where step.task_id = task.task_id
              and step.state in ('enqueued', 'in_progress')
              and step.enqueued_at < queues.oldest
              and step.updated_at < queues.oldest
              and not exists (
                select
                from tasker.parked_steps parked
                where parked.task_id = step.task_id
                  and parked.step = step.name
              )
          )
        limit least(p_max, 100)
    ) lost;
    v_locked := tasker.lock_free_tasks(v_task_ids);

    with lost as materialized (
        select step.task_id, step.name
        from unnest(v_task_ids, v_oldest) task(task_id, oldest)
        cross join lateral (
            select *
            from tasker.steps step
            where step.task_id = task.task_id
              and step.state in ('enqueued', 'in_progress')
              and step.enqueued_at < task.oldest
              and step.updated_at < task.oldest
              and not exists (
                select
                from tasker.parked_steps parked
                where parked.task_id = step.task_id
                  and parked.step = step.name
              )
            limit p_max
            for no key update skip locked
        ) step
        where task.task_id = any (v_locked)
        limit p_max
    ), touched as (
        update tasker.steps step
        set enqueued_at = p_now,
            updated_at = p_now,
            state = 'enqueued'
        from lost
        where step.task_id = lost.task_id
          and step.name = lost.name
        returning step.task_id, step.name
    )
    select array_agg(touched.task_id), array_agg(touched.name)
    into v_task_ids, v_steps
    from touched;

    perform tasker.send_steps(v_task_ids, v_steps);
    return coalesce(cardinality(v_task_ids), 0);
end
$$;
comment on function tasker.resend_steps(int, timestamptz) is
    'Sends a new message for steps that are enqueued or in progress and whose message is gone, '
    'except parked steps. One in progress goes back to enqueued: its worker''s late result is '
    'fenced only by the next claim.';
