create function tasker.derive_task_state(
    p_remaining      bigint,
    p_active         bigint,
    p_held           bigint,
    p_waiting_retry  bigint,
    p_failed         bigint,
    p_failing        boolean
)
returns tasker.task_state
language plpgsql immutable parallel safe as $$
begin
    if p_failing then
        return 'error';
    elsif p_remaining = 0 then
        return 'complete';
    elsif p_active > 0 then
        return 'steps_in_process';
    elsif p_held > 0 then
        return 'waiting_for_dependencies';
    elsif p_waiting_retry > 0 then
        return 'waiting_for_retry';
    elsif p_failed > 0 then
        return 'blocked_by_failures';
    end if;
    raise exception 'a task has % steps left and none that can move', p_remaining
        using errcode = 'TK099',
              hint = 'The counters of the task are wrong: '
                     'this is a defect in Tasker, please report it.';
end
$$;
comment on function tasker.derive_task_state(bigint, bigint, bigint, bigint, bigint, boolean) is
    'The one place where a task''s state follows from its counters.';
