create function tasker.step_errors(p_task_id uuid, p_steps text[]) returns jsonb
language sql stable as $$
    select coalesce(
        jsonb_object_agg(
            step.name,
            jsonb_build_object(
                'code', step.error -> 'code',
                'message', step.error -> 'message',
                'attempts', step.attempt)),
        '{}')
    from unnest(p_steps) n(name)
    cross join lateral (
        select s.name, s.error, s.attempt
        from tasker.steps s
        where s.task_id = p_task_id
          and s.name = n.name
          and s.state = 'error'
        offset 0
    ) step
$$;
comment on function tasker.step_errors(uuid, text[]) is
    'The errors of steps of a task by name, of those that have failed for good: '
    '{"code","message","attempts"}.';
