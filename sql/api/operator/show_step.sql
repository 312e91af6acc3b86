-- for: operator, readonly
-- planner: jit = off
-- requires: views/step_overview.sql
create function tasker.show_step(p_task_id uuid, p_step text)
returns tasker.step_overview
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_step  tasker.step_overview;
begin
    perform tasker.check_task(p_task_id);

    select v.*
    into v_step
    from tasker.step_overview v
    where v.task_id = p_task_id
      and v.step = p_step;

    if not found then
        if not exists (select from tasker.tasks t where t.task_id = p_task_id) then
            perform tasker.refuse_unknown_task(p_task_id);
        end if;
        perform tasker.refuse_unknown_step(p_task_id, p_step);
    end if;
    return v_step;
end
$$;
comment on function tasker.show_step(uuid, text) is
    'The row of a step in step_overview. Errors: TK004 task, TK032 step.';
