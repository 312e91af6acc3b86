create function tasker.batch_summaries(p_task_id uuid, p_template_id uuid, p_steps text[])
returns jsonb
language sql stable as $$
    select coalesce(jsonb_object_agg(n.name, tasker.batch_summary(p_task_id, n.name)), '{}')
    from unnest(p_steps) n(name)
    -- A batch is there, if only an empty one, once its batchable has ended well.
    where exists (
        select
        from tasker.parents_of(p_template_id, n.name) before
        join tasker.steps batchable
          on batchable.task_id = p_task_id
         and batchable.name = before.parent
         and batchable.satisfied
    )
$$;
comment on function tasker.batch_summaries(uuid, uuid, text[]) is
    'The summaries of those batches of a task that are there, by their batch_worker.';
