-- for: operator
-- planner: jit = off
create function tasker.reset_task(
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
    if v_task.completed_at is null then
        return false;
    elsif v_task.state <> 'error' then
        perform tasker.refuse_finished_task(p_task_id, v_task.state);
    end if;

    perform tasker.set_actor(null, tasker.audit_reason('reset', p_by, p_reason));
    perform tasker.replay_tasks(array[p_task_id]);
    perform tasker.set_actor(null);
    return true;
end
$$;
comment on function tasker.reset_task(uuid, text, text) is
    'Restarts a task in error: completed results are kept, failed and cancelled steps run again '
    'with all their attempts, and a refused context is checked again. '
    'False: it has not finished. Errors: TK004 task, TK031 it has finished in another state, TK034 '
    'held by another transaction.';
