create function tasker.stop_batches(
    p_settled  tasker.settled_step[],
    p_failing  uuid[],
    p_now      timestamptz
)
returns void
language plpgsql volatile as $$
declare
    v_task_ids  uuid[];
    v_steps     text[];
    v_stopped   uuid[];
begin
    select array_agg(f.task_id), array_agg(f.template_step)
    into v_task_ids, v_steps
    from (
        select distinct s.task_id, s.template_step
        from unnest(p_settled) s
        cross join lateral tasker.template_step(s.template_id, s.template_step) p
        where s.state = 'error'
          and p.failure_strategy = 'fail_fast'
          and s.task_id <> all (p_failing)
    ) f;
    if v_task_ids is null then
        return;
    end if;

    -- Instances that somebody holds are left alone, as everywhere, and so are those whose result
    -- is stored already.
    with others as materialized (
        select s.task_id, s.name
        from tasker.steps s
        join unnest(v_task_ids, v_steps) f(task_id, step)
          on f.task_id = s.task_id
         and f.step = s.template_step
        where s.task_id = any (v_task_ids)
          and s.state in ('pending', 'enqueued', 'in_progress')
        order by s.task_id, s.name
        for no key update of s skip locked
    ), cancelled as (
        update tasker.steps s
        set state = 'cancelled',
            available_at = null,
            updated_at = p_now,
            completed_at = p_now
        from others o
        where s.task_id = o.task_id
          and s.name = o.name
        returning s.task_id, s.name
    ), unheld as (
        delete from tasker.held_steps h
        using cancelled c
        where h.task_id = c.task_id
          and h.step = c.name
    )
    select array_agg(distinct c.task_id), array_agg(c.name)
    into v_stopped, v_steps
    from cancelled c;

    if v_stopped is not null then
        perform tasker.unpark_steps(v_stopped, v_steps);
        perform tasker.recount_tasks(v_stopped);
    end if;
end
$$;
comment on function tasker.stop_batches(tasker.settled_step[], uuid[], timestamptz) is
    'Where an instance of a fail_fast batch has failed for good: cancels the instances that have '
    'not ended, and counts their tasks again; tasks that fail as a whole are left out. '
    'The caller holds the tasks.';
