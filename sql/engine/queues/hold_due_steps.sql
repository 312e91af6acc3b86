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

    select array_agg(distinct d.task_id)
    into v_task_ids
    from (
        select r.task_id
        from tasker.every_ready_step r
        where r.available_at <= p_now
          and r.namespace in (select g.namespace from tasker.every_gated_namespace g)
        order by r.available_at
        limit p_max
    ) d;

    -- At most 100 tasks a call, and none that somebody holds.
    with free as materialized (
        select t.task_id
        from tasker.tasks t
        where t.task_id = any (v_task_ids)
          and t.completed_at is null
        order by t.task_id
        limit 100
        for no key update skip locked
    )
    select array_agg(f.task_id)
    into v_task_ids
    from free f;

    with moved as (
        update tasker.steps s
        set available_at = null,
            updated_at = p_now
        from unnest(v_task_ids) i(task_id)
        where s.task_id = i.task_id
          and s.state = 'pending'
          and s.waiting_on = 0
          and s.available_at <= p_now
        returning s.task_id, s.name, s.error is not null as is_retry
    ), counted as (
        select m.task_id, count(*) filter (where m.is_retry) as retries
        from moved m
        group by m.task_id
    ), evaluated as (
        -- A retry that waited for its time waits for its turn from now on.
        update tasker.tasks t
        set waiting_retry = t.waiting_retry - c.retries,
            held = t.held + c.retries,
            updated_at = p_now,
            via = '{evaluating_results}',
            move_no = t.move_no + (t.state = 'waiting_for_retry')::int,
            state = tasker.derive_task_state(
                t.remaining,
                t.active,
                t.held + c.retries,
                t.waiting_retry - c.retries,
                t.failed,
                false
            )
        from counted c
        where t.task_id = c.task_id
          and c.retries > 0
    )
    select array_agg(m.task_id), array_agg(m.name)
    into v_task_ids, v_steps
    from moved m;

    if v_task_ids is not null then
        perform tasker.hold_steps(v_task_ids, v_steps);
    end if;
    return coalesce(cardinality(v_task_ids), 0);
end
$$;
comment on function tasker.hold_due_steps(int, timestamptz) is
    'Moves due steps (retries, start times) of gated namespaces to the held steps, where they wait '
    'for their turn.';
