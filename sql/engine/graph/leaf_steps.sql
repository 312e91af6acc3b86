create function tasker.leaf_steps(p_task_id uuid)
returns table (step text, type text)
language sql stable as $$
    select tmpl.name, tmpl.type
    from tasker.tasks task
    join tasker.templates template on template.template_id = task.template_id
    join tasker.template_steps tmpl on tmpl.template_id = task.template_id
    -- Where steps may not exist, a leaf is a step on which none depends in this task. A batch is
    -- there if its first instance is; one without instances is there too, below its batchable.
    cross join lateral (
        select case
            when template.dynamic then
                tmpl.type <> 'batchable'
                and not exists (
                    select from tasker.template_edges edge
                    join tasker.steps child
                      on child.task_id = task.task_id
                     and child.name in (edge.child, tasker.instance_name(edge.child, 1))
                    where edge.template_id = task.template_id
                      and edge.parent = tmpl.name
                )
            else tmpl.is_leaf
        end as is_leaf
        offset 0
    ) leaf
    left join tasker.steps step
      on step.task_id = task.task_id
     and step.name = tmpl.name
    where task.task_id = p_task_id
      and leaf.is_leaf
      and (
          step.satisfied
          or tmpl.type = 'batch_worker'
             and exists (
                 select from tasker.template_edges edge
                 join tasker.steps batchable
                   on batchable.task_id = task.task_id
                  and batchable.name = edge.parent
                 where edge.template_id = task.template_id
                   and edge.child = tmpl.name
                   and batchable.satisfied
                   and batchable.state <> 'error'
             )
      )
$$;
comment on function tasker.leaf_steps(uuid) is
    'The steps of a task on which no other depends, and which have ended well.';
