create function tasker.compile_output(p_definition jsonb) returns jsonb
language sql immutable as $$
    select jsonb_object_agg(
        o.key,
        tasker.compile_mapping(
            o.value,
            'steps',
            '[]',
            tasker.batch_workers(p_definition -> 'steps'),
            p_definition -> 'constants'))
    from jsonb_each(p_definition -> 'output') o
$$;
comment on function tasker.compile_output(jsonb) is
    'How task_output makes the result of a valid template''s tasks: each key as compile_mapping '
    'writes it; null: the template has no output.';
