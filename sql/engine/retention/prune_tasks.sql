create function tasker.prune_tasks(p_max int, p_now timestamptz) returns int
language plpgsql volatile as $$
declare
    v_task_ids  uuid[];
begin
    with old as materialized (
        select o.task_id
        from tasker.templates v
        cross join tasker.settings c
        cross join lateral (
            select t.task_id
            from tasker.tasks t
            where t.template_id = v.template_id
              and t.completed_at < tasker.retention_cutoff(
                p_now,
                coalesce(v.retention_days, c.retention_days)
              )
            order by t.completed_at
            limit p_max
            for update skip locked
        ) o
        where coalesce(v.retention_days, c.retention_days) > 0
        limit p_max
    )
    select array_agg(o.task_id order by o.task_id)
    into v_task_ids
    from old o;

    -- Tasks with very many steps make a batch of their own.
    select array_agg(c.task_id order by c.n)
    into v_task_ids
    from (
        select
            i.task_id,
            i.n,
            sum(s.steps) over (order by i.n) - s.steps as before
        from unnest(v_task_ids) with ordinality i(task_id, n)
        cross join lateral (
            select count(*) as steps
            from tasker.steps s
            where s.task_id = i.task_id
        ) s
    ) c
    where c.before < 10 * p_max::bigint;

    -- A handler's own transaction may hold its step: such a task stays for the next time.
    with free as materialized (
        select s.task_id
        from tasker.steps s
        where s.task_id = any (v_task_ids)
        order by s.task_id, s.name
        for update skip locked
    ), counted as (
        select f.task_id, count(*) as steps
        from free f
        group by f.task_id
    )
    select array_agg(i.task_id)
    into v_task_ids
    from unnest(v_task_ids) i(task_id)
    left join counted c on c.task_id = i.task_id
    where coalesce(c.steps, 0) = (
        select count(*)
        from tasker.steps s
        where s.task_id = i.task_id
    );

    if v_task_ids is null then
        return 0;
    end if;

    -- The tasks are deleted first: their audit can be deleted only when they are gone.
    delete from tasker.tasks t
    where t.task_id = any (v_task_ids);
    delete from tasker.steps s
    where s.task_id = any (v_task_ids);
    delete from tasker.held_steps h
    where h.task_id = any (v_task_ids);
    perform tasker.unpark_steps(v_task_ids);
    delete from tasker.step_transitions a
    where a.task_id = any (v_task_ids);
    delete from tasker.task_transitions a
    where a.task_id = any (v_task_ids);
    return cardinality(v_task_ids);
end
$$;
comment on function tasker.prune_tasks(int, timestamptz) is
    'Removes up to p_max finished tasks that are older than their retention, '
    'with their steps and audit.';
