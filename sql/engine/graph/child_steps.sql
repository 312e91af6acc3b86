-- planner: enable_nestloop = off
create function tasker.child_steps(p_task_id uuid, p_step text)
returns table (name text, state tasker.step_state)
-- Joined by hash: a nested loop would be quadratic in a task of many steps.
language plpgsql stable as $$
declare
    v_template_id    uuid;
    v_template_step  text;
begin
    select t.template_id, s.template_step
    into v_template_id, v_template_step
    from tasker.tasks t, tasker.steps s
    where t.task_id = p_task_id
      and s.task_id = p_task_id
      and s.name = p_step;
    return query
        select c.name, c.state
        from tasker.steps c
        join tasker.template_edges e
          on e.child = c.template_step
         and e.template_id = v_template_id
         and e.parent = v_template_step
        where c.task_id = p_task_id;
end
$$;
comment on function tasker.child_steps(uuid, text) is 'The steps that depend on a step.';
