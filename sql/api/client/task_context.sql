-- for: client, operator, readonly
create function tasker.task_context(p_task_id uuid)
returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_context  jsonb;
begin
    perform tasker.check_task(p_task_id);
    select t.context
    into v_context
    from tasker.tasks t
    where t.task_id = p_task_id;
    if not found then
        perform tasker.refuse_unknown_task(p_task_id);
    end if;
    return v_context;
end
$$;
comment on function tasker.task_context(uuid) is
    'The context of a task: its input, as it was enqueued. Error: TK004 no such task.';
