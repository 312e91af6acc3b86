create function tasker.check_task(p_task_id uuid) returns void
language plpgsql stable as $$
declare
    v_limits  text[] := tasker.limits();
begin
    if v_limits is not null and not exists (
        select from tasker.tasks t
        where t.task_id = p_task_id
          and t.namespace = any (v_limits)
    ) then
        perform tasker.refuse_unknown_task(p_task_id);
    end if;
end
$$;
comment on function tasker.check_task(uuid) is
    'For a limited caller, tasks of other namespaces do not exist. '
    'Error: TK004.';
