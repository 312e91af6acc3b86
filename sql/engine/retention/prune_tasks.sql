create function tasker.prune_tasks(p_max int, p_now timestamptz) returns int
language plpgsql volatile as $$
declare
    v_task_ids  uuid[];
begin
    with old as materialized (
        select finished.task_id
        from tasker.templates template
        cross join tasker.settings
        cross join lateral (
            select task.task_id
            from tasker.tasks task
            where task.template_id = template.template_id
              and task.completed_at < tasker.retention_cutoff(
                p_now,
                coalesce(template.retention_days, settings.retention_days)
              )
            order by task.completed_at
            limit p_max
            for update skip locked
        ) finished
        where coalesce(template.retention_days, settings.retention_days) > 0
        limit p_max
    )
    select array_agg(old.task_id order by old.task_id)
    into v_task_ids
    from old;

    -- Tasks with very many steps make a batch of their own.
    select array_agg(sized.task_id order by sized.n)
    into v_task_ids
    from (
        select
            task.task_id,
            task.n,
            sum(size.steps) over (order by task.n) - size.steps as before
        from unnest(v_task_ids) with ordinality task(task_id, n)
        cross join lateral (
            select count(*) as steps
            from tasker.steps step
            where step.task_id = task.task_id
        ) size
    ) sized
    where sized.before < 10 * p_max::bigint;

    -- A handler's own transaction may hold its step: such a task stays for the next time.
    with free as materialized (
        select step.task_id
        from tasker.steps step
        where step.task_id = any (v_task_ids)
        order by step.task_id, step.name
        for update skip locked
    ), counted as (
        select free.task_id, count(*) as steps
        from free
        group by free.task_id
    )
    select array_agg(task.task_id)
    into v_task_ids
    from unnest(v_task_ids) task(task_id)
    left join counted on counted.task_id = task.task_id
    where coalesce(counted.steps, 0) = (
        select count(*)
        from tasker.steps step
        where step.task_id = task.task_id
    );

    if v_task_ids is null then
        return 0;
    end if;

    -- The tasks are deleted first: their audit can be deleted only when they are gone.
    delete from tasker.tasks task
    where task.task_id = any (v_task_ids);
    delete from tasker.steps step
    where step.task_id = any (v_task_ids);
    delete from tasker.step_verdicts verdict
    where verdict.task_id = any (v_task_ids);
    delete from tasker.held_steps held
    where held.task_id = any (v_task_ids);
    perform tasker.unpark_steps(v_task_ids);
    delete from tasker.step_transitions hop
    where hop.task_id = any (v_task_ids);
    delete from tasker.task_transitions hop
    where hop.task_id = any (v_task_ids);
    return cardinality(v_task_ids);
end
$$;
comment on function tasker.prune_tasks(int, timestamptz) is
    'Removes up to p_max finished tasks that are older than their retention, '
    'with their steps and audit.';
