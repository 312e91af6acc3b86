-- for: client, operator
-- planner: jit = off
create function tasker.cancel_task(
    p_task_id  uuid,
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
    perform tasker.set_actor(null, tasker.audit_reason('cancelled', p_by, p_reason));
    perform tasker.end_tasks(array[p_task_id], 'cancelled');
    perform tasker.set_actor(null);
    return true;
end
$$;
comment on function tasker.cancel_task(uuid, text, text) is
    'Stops a task: unfinished steps are cancelled, running handlers are asked to stop, and late '
    'results change nothing. p_by, p_reason: who and why, for the audit. '
    'False: it had already finished. Errors: TK004 no such task, TK034 held by another '
    'transaction.';
