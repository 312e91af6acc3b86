create function tasker.mapped_paths(p_value jsonb)
returns table (at text[], path text)
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
    select n.at, n.value #>> '{}'
    from node n
    where jsonb_typeof(n.value) = 'string'
      and n.value #>> '{}' ~ '^[$]([.]|$)'
$$;
comment on function tasker.mapped_paths(jsonb) is
    'The strings of a value that are paths: they begin with $., or are $. at: where one stands.';
