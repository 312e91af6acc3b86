create function tasker.batches_before(p_task_id uuid, p_step text)
returns table (child text, parent text)
-- Stable, in SQL, and without settings of its own, so that it becomes part of the statement that
-- calls it.
language sql stable as $$
    select step.template_step, edge.parent
    from tasker.steps step
    cross join lateral (
        select task.template_id
        from tasker.tasks task
        where task.task_id = step.task_id
        offset 0
    ) task
    cross join lateral tasker.parents_of(task.template_id, step.template_step) edge
    cross join lateral tasker.template_step(task.template_id, edge.parent) tmpl
    cross join lateral tasker.parents_of(task.template_id, edge.parent) before
    join tasker.steps batchable
      on batchable.task_id = step.task_id
     and batchable.name = before.parent
     and batchable.satisfied
    where step.task_id = p_task_id
      and step.name = p_step
      and tmpl.type = 'batch_worker'
$$;
comment on function tasker.batches_before(uuid, text) is
    'The batches that a step comes after, by their batch_worker.';
