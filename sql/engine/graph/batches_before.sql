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
    cross join lateral tasker.parents_of(t.template_id, s.template_step) e
    cross join lateral tasker.template_step(t.template_id, e.parent) w
    cross join lateral tasker.parents_of(t.template_id, e.parent) g
    join tasker.steps q
      on q.task_id = s.task_id
     and q.name = g.parent
     and q.satisfied
    where s.task_id = p_task_id
      and s.name = p_step
      and w.type = 'batch_worker'
$$;
comment on function tasker.batches_before(uuid, text) is
    'The batches that a step comes after, by their batch_worker.';
