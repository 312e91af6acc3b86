create function tasker.lock_free_tasks(p_task_ids uuid[], p_finished boolean default false)
returns uuid[]
language plpgsql volatile as $$
declare
    v_free  uuid[];
begin
    with free as materialized (
        select t.task_id
        from unnest(p_task_ids) i(task_id)
        cross join lateral (
            select *
            from tasker.tasks t
            where t.task_id = i.task_id
              and (p_finished or t.completed_at is null)
            for no key update skip locked
        ) t
    )
    select array_agg(f.task_id)
    into v_free
    from free f;
    return v_free;
end
$$;
comment on function tasker.lock_free_tasks(uuid[], boolean) is
    'Locks these unfinished tasks (p_finished: finished ones too), except those locked by others, '
    'and returns them. Never waits.';
