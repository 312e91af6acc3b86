create function tasker.step_results(p_task_id uuid, p_steps text[], p_batches text[])
returns jsonb
language plpgsql stable as $$
declare
    v_results  jsonb := (
        select jsonb_object_agg(step.name, step.result)
        from unnest(p_steps) n(name)
        cross join lateral (
            select s.name, s.result
            from tasker.steps s
            where s.task_id = p_task_id
              and s.name = n.name
              and s.satisfied
              and s.state <> 'error'
            offset 0
        ) step
    );
begin
    if p_batches is null then
        return coalesce(v_results, '{}');
    end if;

    return coalesce(v_results, '{}') || coalesce((
        select jsonb_object_agg(n.name, tasker.batch_summary(p_task_id, n.name))
        from unnest(p_batches) n(name)
        -- A batch is there, if only an empty one, once its batchable has ended well.
        where exists (
            select
            from tasker.tasks t
            cross join lateral tasker.parents_of(t.template_id, n.name) before
            join tasker.steps batchable
              on batchable.task_id = p_task_id
             and batchable.name = before.parent
             and batchable.satisfied
             and batchable.state <> 'error'
            where t.task_id = p_task_id
        )), '{}');
end
$$;
comment on function tasker.step_results(uuid, text[], text[]) is
    'The results of steps of a task by name, of those that have ended well; of p_batches their '
    'summaries.';
