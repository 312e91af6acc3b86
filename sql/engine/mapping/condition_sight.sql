create function tasker.condition_sight(p_object jsonb, p_condition jsonb, p_values boolean)
returns text
language sql immutable as $$
    select string_agg(
        format(
            '%s is %s',
            p.path,
            case
                when v.value is null then 'not there'
                when jsonb_typeof(v.value) = 'null' then 'null'
                when p_values then tasker.excerpt(v.value)
                else concat(
                    case when jsonb_typeof(v.value) in ('array', 'object') then 'an ' else 'a ' end,
                    jsonb_typeof(v.value))
            end),
        ', '
        order by p.n)
    from jsonb_array_elements_text(p_condition -> 'paths') with ordinality p(path, n)
    cross join lateral (
        select jsonb_path_query_first(p_object, p.path::jsonpath, '{}', true) as value
    ) v
    -- What it looks at further on is left out.
    where p.n <= 5
$$;
comment on function tasker.condition_sight(jsonb, jsonb, boolean) is
    'What the first paths of a condition met, for people: values, or only their types.';
