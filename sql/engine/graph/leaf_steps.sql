create function tasker.leaf_steps(p_task_id uuid)
returns table (step text, type text)
language sql stable as $$
    select p.name, p.type
    from tasker.tasks t
    join tasker.templates v on v.template_id = t.template_id
    join tasker.template_steps p on p.template_id = t.template_id
    -- Where steps may not exist, a leaf is a step on which none depends in this task. A batch is
    -- there if its first instance is; one without instances is there too, below its batchable.
    cross join lateral (
        select case
            when v.dynamic then
                p.type <> 'batchable'
                and not exists (
                    select from tasker.template_edges e
                    join tasker.steps c
                      on c.task_id = t.task_id
                     and c.name in (e.child, tasker.instance_name(e.child, 1))
                    where e.template_id = t.template_id
                      and e.parent = p.name
                )
            else p.is_leaf
        end as is_leaf
        offset 0
    ) l
    left join tasker.steps s
      on s.task_id = t.task_id
     and s.name = p.name
    where t.task_id = p_task_id
      and l.is_leaf
      and (
          s.satisfied
          or p.type = 'batch_worker'
             and exists (
                 select from tasker.template_edges e
                 join tasker.steps b
                   on b.task_id = t.task_id
                  and b.name = e.parent
                 where e.template_id = t.template_id
                   and e.child = p.name
                   and b.satisfied
             )
      )
$$;
comment on function tasker.leaf_steps(uuid) is
    'The steps of a task on which no other depends, and which have ended well.';
