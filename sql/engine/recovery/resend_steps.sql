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
            n.namespace,
            -- Null where the queue is gone: nothing can be sent there.
            case
                when o.at < p_now - interval '1 minute' then o.at
                when o.at is not null then p_now - interval '1 minute'
            end as oldest
        from tasker.namespaces n
        cross join lateral (
            select tasker.oldest_message(tasker.worker_queue(n.namespace)) as at offset 0
        ) o
    )
    select array_agg(l.task_id), array_agg(l.oldest)
    into v_task_ids, v_oldest
    from (
        select t.task_id, q.oldest
        from tasker.tasks t
        join queues q on q.namespace = t.namespace
        where t.completed_at is null
          and t.active > 0
          and t.updated_at < q.oldest
          and exists (
            select
            from tasker.steps s
            where s.task_id = t.task_id
              and s.state in ('enqueued', 'in_progress')
              and s.enqueued_at < q.oldest
              and s.updated_at < q.oldest
              and not exists (
                select
                from tasker.parked_steps k
                where k.task_id = s.task_id
                  and k.step = s.name
              )
          )
        limit least(p_max, 100)
    ) l;
    v_locked := tasker.lock_free_tasks(v_task_ids);

    with lost as materialized (
        select s.task_id, s.name
        from unnest(v_task_ids, v_oldest) t(task_id, oldest)
        cross join lateral (
            select *
            from tasker.steps s
            where s.task_id = t.task_id
              and s.state in ('enqueued', 'in_progress')
              and s.enqueued_at < t.oldest
              and s.updated_at < t.oldest
              and not exists (
                select
                from tasker.parked_steps k
                where k.task_id = s.task_id
                  and k.step = s.name
              )
            limit p_max
            for no key update skip locked
        ) s
        where t.task_id = any (v_locked)
        limit p_max
    ), touched as (
        update tasker.steps s
        set enqueued_at = p_now,
            updated_at = p_now,
            state = 'enqueued'
        from lost l
        where s.task_id = l.task_id
          and s.name = l.name
        returning s.task_id, s.name
    )
    select array_agg(t.task_id), array_agg(t.name)
    into v_task_ids, v_steps
    from touched t;

    perform tasker.send_steps(v_task_ids, v_steps);
    return coalesce(cardinality(v_task_ids), 0);
end
$$;
comment on function tasker.resend_steps(int, timestamptz) is
    'Sends a new message for steps that are enqueued or in progress and whose message is gone, '
    'except parked steps. One in progress goes back to enqueued: its worker''s late result is '
    'fenced only by the next claim.';
