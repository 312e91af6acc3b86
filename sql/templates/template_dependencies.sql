create function tasker.template_dependencies(p_steps jsonb)
returns table (n bigint, dependency jsonb, kind text, given jsonb, step_n bigint)
language sql immutable as $$
    select
        d.n,
        case jsonb_typeof(d.v) when 'object' then d.v -> 'step' else d.v end,
        case jsonb_typeof(d.v) when 'object' then coalesce(d.v ->> 'on', 'complete')
            else 'complete'
        end,
        d.v,
        s.n
    from jsonb_array_elements(p_steps) with ordinality s(step, n)
    cross join lateral jsonb_array_elements(
        case
            when jsonb_typeof(s.step) = 'object'
             and jsonb_typeof(s.step -> 'dependencies') = 'array' then s.step -> 'dependencies'
            else '[]'
        end
    ) with ordinality d(v, n)
$$;
comment on function tasker.template_dependencies(jsonb) is
    'Each dependency in a list of steps, its place (n) in the step at place step_n, both from 1: '
    'given: as the template has it, "a" or {"step": "a", "on": "failed"}; dependency: the name; '
    'kind: how that step must have ended.';
