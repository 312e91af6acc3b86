create function tasker.strings_within(p_value jsonb)
returns table (pointer text, value text)
language sql immutable as $$
    with recursive node(pointer, value) as (
        select '', p_value
        union all
        select tasker.pointer(n.pointer, left(c.key, 100)), c.value
        from node n
        cross join lateral (
            select o.key, o.value
            from jsonb_each(
                case jsonb_typeof(n.value) when 'object' then n.value else '{}' end
            ) o
            union all
            select (a.n - 1)::text, a.value
            from jsonb_array_elements(
                case jsonb_typeof(n.value) when 'array' then n.value else '[]' end
            ) with ordinality a(value, n)
        ) c
    )
    select n.pointer, n.value #>> '{}'
    from node n
    where jsonb_typeof(n.value) = 'string'
      and n.value #>> '{}' ~ '[{}]'
$$;
comment on function tasker.strings_within(jsonb) is
    'The strings of a value that have braces, with the place of each as a JSON Pointer.';
