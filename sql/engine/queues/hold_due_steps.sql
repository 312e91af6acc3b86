create function tasker.hold_due_steps(p_max int, p_now timestamptz)
returns int
language plpgsql volatile as $$
declare
    v_task_ids  uuid[];
    v_steps     text[];
begin
    if not exists (select from tasker.every_gated_namespace) then
        return 0;
    end if;

    select array_agg(distinct due.task_id)
    into v_task_ids
    from (
        select ready.task_id
        from tasker.every_ready_step ready
        where ready.available_at <= p_now
          and ready.namespace in (select gated.namespace from tasker.every_gated_namespace gated)
        order by ready.available_at
        limit p_max
    ) due;

    -- At most 100 tasks a call, and none that somebody holds.
    with free as materialized (
        select task.task_id
        from tasker.tasks task
        where task.task_id = any (v_task_ids)
          and task.completed_at is null
        order by task.task_id
        limit 100
        for no key update skip locked
    )
    select array_agg(free.task_id)
    into v_task_ids
    from free;

    with moved as (
        update tasker.steps step
        set available_at = null,
            updated_at = p_now
        from unnest(v_task_ids) task(task_id)
        where step.task_id = task.task_id
          and step.state = 'pending'
          and step.waiting_on = 0
          and step.available_at <= p_now
        returning step.task_id, step.name, step.error is not null as is_retry
    ), counted as (
        select moved.task_id, count(*) filter (where moved.is_retry) as retries
        from moved
        group by moved.task_id
    ), evaluated as (
        -- A retry that waited for its time waits for its turn from now on.
        update tasker.tasks task
        set waiting_retry = task.waiting_retry - counted.retries,
            held = task.held + counted.retries,
            updated_at = p_now,
            via = '{evaluating_results}',
            move_no = task.move_no + (task.state = 'waiting_for_retry')::int,
            state = tasker.derive_task_state(
                task.remaining,
                task.active,
                task.held + counted.retries,
                task.waiting_retry - counted.retries,
                task.failed,
                false
            )
        from counted
        where task.task_id = counted.task_id
          and counted.retries > 0
    )
    select array_agg(moved.task_id), array_agg(moved.name)
    into v_task_ids, v_steps
    from moved;

    if v_task_ids is not null then
        perform tasker.hold_steps(v_task_ids, v_steps);
    end if;
    return coalesce(cardinality(v_task_ids), 0);
end
$$;
comment on function tasker.hold_due_steps(int, timestamptz) is
    'Moves due steps (retries, start times) of gated namespaces to the held steps, where they wait '
    'for their turn.';
