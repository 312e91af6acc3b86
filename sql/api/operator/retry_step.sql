-- for: operator
-- planner: jit = off
create function tasker.retry_step(
    p_task_id  uuid,
    p_step     text,
    p_reason   text default null,
    p_by       text default null
)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_task      tasker.tasks := tasker.lock_task(p_task_id, coalesce(p_step, ''));
    v_step      tasker.steps;
    v_children  text;
begin
    select *
    into v_step
    from tasker.steps s
    where s.task_id = p_task_id
      and s.name = p_step;

    if v_task.state = 'error'
      and not v_step.satisfied
      and v_step.state in ('error', 'cancelled') then
        -- As in retry_tasks, the steps that were cancelled with the failure run again with it.
        perform tasker.set_actor(null, tasker.audit_reason('retried', p_by, p_reason));
        perform tasker.replay_tasks(array[p_task_id]);
        perform tasker.set_actor(null);
        return true;
    elsif v_task.completed_at is not null then
        perform tasker.refuse_finished_task(p_task_id, v_task.state);
    elsif v_step.satisfied and v_step.state = 'error' then
        raise exception 'step "%" of task % has failed and the task goes on without it',
            p_step, p_task_id
            using
                errcode = 'TK033',
                hint = 'Its template says what follows a failure '
                    '(on_error, on: failed, continue_on_failure), and that may have run. '
                    'To run it again, enqueue a new task.';
    elsif v_step.satisfied then
        raise exception
            'step "%" of task % is %: what depends on it may have used its result',
            p_step, p_task_id, v_step.state
            using
                errcode = 'TK033',
                hint = 'Only steps in error or cancelled can be retried. '
                    'To run it all again, enqueue a new task.';
    elsif v_step.state not in ('error', 'cancelled') then
        return false;
    end if;

    -- A step that depends on this one and has begun would not see the new result.
    select string_agg(format('"%s" is %s', c.name, c.state), ', ' order by c.name)
    into v_children
    from tasker.child_steps(p_task_id, p_step) c
    where c.state not in ('pending', 'cancelled', 'resolved_manually');

    if v_children is not null then
        raise exception
            'step "%" of task % cannot be retried: '
            'what depends on it has begun without it (%)',
            p_step, p_task_id, v_children
            using
                errcode = 'TK033',
                hint = 'Resolve it with a result instead: '
                    'tasker.resolve_step (tasker task resolve TASK --step STEP).';
    end if;

    perform tasker.set_actor(null, tasker.audit_reason('retried', p_by, p_reason));
    perform tasker.restart_steps(array[f.task_id], array[f.name], array[f.waiting_on])
    from tasker.failed_steps(array[p_task_id]) f
    where f.name = p_step;
    perform tasker.recount_tasks(array[p_task_id]);
    perform tasker.set_actor(null);
    return true;
end
$$;
comment on function tasker.retry_step(uuid, text, text, text) is
    'Runs a failed step again, with all its attempts; the sweep sends it within its poll interval. '
    'In a task in error, the cancelled steps run again too, as with retry_tasks. '
    'p_by, p_reason: who and why, for the audit. False: it waits or runs already. '
    'Errors: TK004 task, TK031 the task has finished, TK032 step, TK033 the step is complete, or a '
    'step that depends on it has begun, TK034 held by another transaction.';
