create function tasker.batches_before(p_task_id uuid, p_step text)
returns table (child text, parent text)
-- Stable, in SQL, and without settings of its own, so that it becomes part of the statement that
-- calls it.
language sql stable as $$
    select s.template_step, e.parent
    from tasker.steps s
    cross join lateral (
        select t.template_id
        from tasker.tasks t
        where t.task_id = s.task_id
        offset 0
    ) t
    join tasker.template_edges e
      on e.template_id = t.template_id
     and e.child = s.template_step
    join tasker.template_steps w
      on w.template_id = e.template_id
     and w.name = e.parent
     and w.type = 'batch_worker'
    join tasker.template_edges g
      on g.template_id = e.template_id
     and g.child = e.parent
    join tasker.steps q
      on q.task_id = s.task_id
     and q.name = g.parent
     and q.satisfied
    where s.task_id = p_task_id
      and s.name = p_step
$$;
comment on function tasker.batches_before(uuid, text) is
    'The batches that a step comes after, by their batch_worker.';
