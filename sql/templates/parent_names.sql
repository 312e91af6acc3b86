create function tasker.parent_names(p_step jsonb) returns jsonb
language sql immutable as $$
    select coalesce(
        jsonb_agg(d.dependency order by d.n) filter (where jsonb_typeof(d.dependency) = 'string'),
        '[]')
    from tasker.template_dependencies(jsonb_build_array(p_step)) d
$$;
comment on function tasker.parent_names(jsonb) is
    'The names of the steps that a step of a template depends on, however they are given.';
