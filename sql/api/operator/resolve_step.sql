-- for: operator
-- planner: jit = off
create function tasker.resolve_step(
    p_task_id  uuid,
    p_step     text,
    p_result   jsonb default null,
    p_reason   text default null,
    p_by       text default null,
    p_outcome  jsonb default null
)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_now   timestamptz := tasker.clock();
    v_task  tasker.tasks := tasker.lock_task(p_task_id, coalesce(p_step, ''));
    v_step  tasker.steps;
begin
    select *
    into v_step
    from tasker.steps s
    where s.task_id = p_task_id
      and s.name = p_step;

    if v_step.satisfied then
        return false;
    elsif v_task.completed_at is not null and v_task.state <> 'error' then
        perform tasker.refuse_finished_task(p_task_id, v_task.state);
    end if;
    perform tasker.refuse_unfit_outcome(p_task_id, p_step, v_step.decides, p_outcome);
    perform tasker.refuse_large_result(p_result);
    perform tasker.refuse_large_result(p_outcome -> 'result');

    -- The step's message, or a result on its way, is dropped by the process that reads it next.
    perform tasker.set_actor(null, tasker.audit_reason('resolved', p_by, p_reason));
    update tasker.steps s
    set state = 'resolved_manually',
        satisfied = true,
        result = coalesce(p_result, p_outcome -> 'result', 'null'),
        result_bytes = octet_length(coalesce(p_result, p_outcome -> 'result', 'null')::text),
        decided = case p_outcome ->> 'type'
            when 'skip' then '{"skip": true}'
            else p_outcome - '{type,result}'::text[]
        end,
        available_at = null,
        completed_at = v_now,
        updated_at = v_now
    where s.task_id = p_task_id
      and s.name = p_step;

    delete from tasker.held_steps h
    where h.task_id = p_task_id
      and h.step = p_step;

    perform tasker.unpark_steps(array[p_task_id], array[p_step]);

    if v_task.state = 'error' then
        -- The task stays in error until it is reset, and the reset counts its steps again.
        update tasker.tasks t
        set remaining = t.remaining - 1,
            failed = t.failed - (v_step.state = 'error')::int,
            updated_at = v_now
        where t.task_id = p_task_id;
    else
        perform tasker.advance_resolved(
            p_task_id, p_step, v_step.decides or v_step.reveals, v_now);
    end if;
    perform tasker.set_actor(null);
    return true;
end
$$;
comment on function tasker.resolve_step(uuid, text, jsonb, text, text, jsonb) is
    'Settles a step by hand: resolved_manually, with p_result as its result for the steps that '
    'depend on it; a decision or batchable needs its p_outcome too. '
    'A running handler is told to stop, its result is stale. '
    'In a task in error it takes effect with reset_task. False: it is complete or resolved '
    'already. Errors: TK004 task, TK019 a result over its limit, TK031 the task has finished, '
    'TK032 step, TK035 the outcome, TK034 held by another transaction.';
