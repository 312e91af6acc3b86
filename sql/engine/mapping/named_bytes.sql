create function tasker.named_bytes(p_task_id uuid, p_names text[], p_batches text[])
returns bigint
language sql stable as $$
    select (
        select coalesce(sum(step.result_bytes), 0)
        from unnest(p_names) n(name)
        cross join lateral (
            select s.result_bytes
            from tasker.steps s
            where s.task_id = p_task_id
              and s.name = n.name
              and s.satisfied
            offset 0
        ) step
    ) + (
        -- A batch's summary has its results where there is room for them.
        select coalesce(sum(least(c.max_result_bytes, coalesce(b.bytes, 0)) + 200), 0)
        from (
            select s.template_step, sum(s.result_bytes) as bytes
            from tasker.steps s
            where s.task_id = p_task_id
              and s.template_step = any (p_batches)
            group by s.template_step
        ) b
        cross join tasker.settings c
    )
$$;
comment on function tasker.named_bytes(uuid, text[], text[]) is
    'Bytes, as text, of the results of steps of a task by name, and of the summaries of p_batches.';
