create function tasker.check_size(p_definition jsonb)
returns table (path text, code text, message text)
language plpgsql stable as $$
declare
    v_limits  tasker.settings := (select s from tasker.settings s);
    v_bytes   bigint := tasker.json_bytes(p_definition, v_limits.max_template_bytes);
    v_steps   jsonb := case
        when jsonb_typeof(p_definition -> 'steps') = 'array' then p_definition -> 'steps'
        else '[]'
    end;
    v_edges   bigint;
begin
    if v_bytes > v_limits.max_template_bytes then
        return query
        select
            '',
            'too_large',
            format(
                'a template may have %s bytes (max_template_bytes in tasker.settings); '
                'this one has more',
                v_limits.max_template_bytes);
        return;
    end if;

    if jsonb_array_length(v_steps) > v_limits.max_template_steps then
        return query
        select
            '/steps',
            'too_large',
            format(
                'a template may have %s steps (max_template_steps in tasker.settings); '
                'this one has %s: let a step make a batch, or enqueue tasks of a smaller template',
                v_limits.max_template_steps, jsonb_array_length(v_steps));
    end if;

    v_edges := (select count(*) from tasker.template_dependencies(v_steps) d);
    if v_edges > v_limits.max_template_edges then
        return query
        select
            '/steps',
            'too_large',
            format(
                'a template may have %s dependencies in all '
                '(max_template_edges in tasker.settings); this one has %s: '
                'put a step between those that depend on many and what they depend on',
                v_limits.max_template_edges, v_edges);
    end if;

    return query
    select
        format('/steps/%s/dependencies', d.step_n - 1),
        'too_large',
        format(
            'a step may depend on %s others (max_template_width in tasker.settings); this one '
            'depends on %s',
            v_limits.max_template_width, count(*))
    from tasker.template_dependencies(v_steps) d
    group by d.step_n
    having count(*) > v_limits.max_template_width
    order by d.step_n
    limit 100;

    return query
    select
        '/steps',
        'too_large',
        format(
            '%s steps may depend on one (max_template_width in tasker.settings); "%s" has %s',
            v_limits.max_template_width, left(d.dependency #>> '{}', 100), count(*))
    from tasker.template_dependencies(v_steps) d
    where jsonb_typeof(d.dependency) = 'string'
    group by d.dependency
    having count(*) > v_limits.max_template_width
    order by d.dependency
    limit 100;
end
$$;
comment on function tasker.check_size(jsonb) is
    'Problems with a template''s size, against the limits in tasker.settings: bytes, steps, '
    'dependencies, dependencies per step.';
