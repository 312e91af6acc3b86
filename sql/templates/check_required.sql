create function tasker.check_required(p_step jsonb, p_path text)
returns table (path text, code text, message text)
language sql stable as $$
    select *
    from tasker.check_type(
        p_step -> 'inputs_required', p_path || '/inputs_required', 'inputs_required', '{array}')
    union all
    select
        format('%s/inputs_required/%s', p_path, r.n - 1),
        'unknown_input',
        format(
            'inputs_required names keys of inputs whose value is a path; %s is not one of them',
            tasker.excerpt(r.name))
    from jsonb_array_elements(
        case jsonb_typeof(p_step -> 'inputs_required')
            when 'array' then p_step -> 'inputs_required'
            else '[]'
        end
    ) with ordinality r(name, n)
    where jsonb_typeof(r.name) <> 'string'
       or jsonb_typeof(p_step -> 'inputs') is distinct from 'object'
       or coalesce((p_step -> 'inputs') ->> (r.name #>> '{}'), '') !~ '^[$][.]'
$$;
comment on function tasker.check_required(jsonb, text) is
    'Problems with the inputs that a step cannot do without.';
