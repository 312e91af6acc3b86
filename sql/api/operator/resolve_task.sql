-- for: operator
-- planner: jit = off
create function tasker.resolve_task(
    p_task_id  uuid,
    p_result   jsonb default null,
    p_reason   text default null,
    p_by       text default null
)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_task  tasker.tasks := tasker.lock_task(p_task_id);
begin
    if v_task.completed_at is not null then
        return false;
    end if;

    perform tasker.refuse_large_result(p_result);
    perform tasker.set_actor(null, tasker.audit_reason('resolved', p_by, p_reason));
    perform tasker.end_tasks(array[p_task_id], 'resolved_manually', p_result);
    perform tasker.set_actor(null);
    return true;
end
$$;
comment on function tasker.resolve_task(uuid, jsonb, text, text) is
    'Ends an unfinished task as resolved_manually; unfinished steps are cancelled, and running '
    'handlers are told to stop. task_result returns p_result or, if that is null, the '
    'template''s output or the results of the leaf steps. '
    'False: it had already finished (one in error: reset it first). '
    'Errors: TK004 task, TK019 p_result over its limit, TK034 held by another transaction.';
