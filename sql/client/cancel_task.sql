create function tasker.cancel_task(p_task_id uuid, p_reason text default null) returns boolean
language plpgsql volatile security definer set search_path = '' as $$
declare
    v_now       timestamptz := tasker.clock();
    v_finished  boolean;
begin
    select t.completed_at is not null into v_finished from tasker.tasks t where t.task_id = p_task_id for no key update;
    if not found then
        perform tasker.refuse_unknown_task(p_task_id);
    elsif v_finished then
        return false;
    end if;
    perform tasker.set_actor(null, coalesce(nullif(p_reason, ''), 'cancelled by ' || session_user));
    perform tasker.cancel_steps(array[p_task_id]);
    update tasker.tasks t
       set state = 'cancelled', active = 0, held = 0, waiting_retry = 0, updated_at = v_now, completed_at = v_now
     where t.task_id = p_task_id;
    perform tasker.set_actor(null);
    return true;
end
$$;
comment on function tasker.cancel_task(uuid, text) is 'Stops a task: steps not finished are cancelled, running handlers are asked to stop, late results change nothing. False: it had already finished. Error: TK004 no such task.';
