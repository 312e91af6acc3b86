create function tasker.strings_like(p_value jsonb, p_pattern text)
returns table (at text[], place text, value text)
language sql immutable as $$
    with recursive node(at, value) as (
        select '{}'::text[], p_value
        union all
        select n.at || c.key, c.value
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
        -- What is deeper is a problem by itself.
        where cardinality(n.at) < 32
    )
    select
        n.at,
        (
            select coalesce(string_agg(tasker.pointer('', a.key), '' order by a.n), '')
            from unnest(n.at) with ordinality a(key, n)
        ),
        n.value #>> '{}'
    from node n
    where jsonb_typeof(n.value) = 'string'
      and n.value #>> '{}' ~ p_pattern
$$;
comment on function tasker.strings_like(jsonb, text) is
    'The strings of a value, of 32 levels at most, that match a regular expression: at: the keys '
    'that lead to one; place: the same as a JSON Pointer.';
