-- for: operator, readonly
-- planner: jit = off
create function tasker.unmade_steps(p_task_id uuid)
returns table (step text, presence text)
language sql stable security definer rows 10
set search_path = pg_catalog, pg_temp
as $$
    select g.step, g.presence
    from tasker.graph_nodes(array[p_task_id]) g
    join tasker.template_steps p
      on p.template_id = g.template_id
     and p.name = g.step
    where (
        (select tasker.limits()) is null
        or exists (
            select from tasker.tasks t
            where t.task_id = p_task_id
              and t.namespace = any ((select tasker.limits())::text[])
        )
    )
      and (
          not g.made
          or p.type = 'batch_worker'
             and not exists (
                 select from tasker.steps s
                 where s.task_id = p_task_id
                   and s.name = tasker.instance_name(g.step, 1)
             )
      )
$$;
comment on function tasker.unmade_steps(uuid) is
    'The steps of the template that have no row in a task: undecided, not_chosen, '
    'or a batch without instances (exists). For step_dag.';
