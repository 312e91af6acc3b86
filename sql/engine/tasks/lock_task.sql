create function tasker.lock_task(p_task_id uuid, p_step text default null) returns tasker.tasks
language plpgsql volatile set lock_timeout = '2s' as $$
declare
    v_task  tasker.tasks;
begin
    perform tasker.check_task(p_task_id);

    -- The task is locked first, then its step, in two statements. A handler's own transaction may
    -- hold the step for long. While this one waits for it with the task locked, it stops an
    -- orchestrator: so it does not wait for long.
    select *
    into v_task
    from tasker.tasks t
    where t.task_id = p_task_id
    for no key update;
    if not found then
        perform tasker.refuse_unknown_task(p_task_id);
    elsif p_step is not null then
        perform
        from tasker.steps s
        where s.task_id = p_task_id
          and s.name = p_step
        for no key update;
        if not found then
            perform tasker.refuse_unknown_step(p_task_id, p_step);
        end if;
    end if;
    return v_task;
exception when lock_not_available then
    raise exception 'task % % held by another transaction',
            p_task_id,
            case when p_step is null then 'is' else format('or its step "%s" is', p_step) end
        using errcode = 'TK034',
              hint = 'Try again in a moment; '
                     'a handler''s own transaction may take as long as its handler.';
end
$$;
comment on function tasker.lock_task(uuid, text) is
    'Locks a task, and one step of it, for an operator. Errors: TK004 no such task, TK032 no such '
    'step, TK034 another transaction holds it for longer than two seconds.';
