create function tasker.compile_output(p_definition jsonb) returns jsonb
language sql immutable as $$
    select jsonb_build_object(
        'plain', coalesce(
            jsonb_object_agg(o.key, o.value) filter (where o.value::text not like '%"$%'), '{}'),
        'made', coalesce(
            jsonb_object_agg(
                o.key,
                tasker.compile_mapping(
                    o.value,
                    'steps',
                    '[]',
                    tasker.batch_workers(p_definition -> 'steps')))
                filter (where o.value::text like '%"$%'),
            '{}'))
    from jsonb_each(p_definition -> 'output') o
    having p_definition ? 'output'
$$;
comment on function tasker.compile_output(jsonb) is
    'How task_output makes the result of a valid template''s tasks: '
    '{"plain": keys without paths, "made": the others, as compile_mapping writes them}; '
    'null: the template has no output.';
