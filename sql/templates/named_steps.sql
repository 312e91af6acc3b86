create function tasker.named_steps(p_paths jsonb[], p_part text, p_all jsonb) returns text[]
language sql immutable as $$
    -- A path without a name takes all.
    select array_agg(distinct n.name order by n.name)
    from unnest(p_paths) p
    cross join lateral (
        select p ->> 'name' as name
        where p ? 'name'
        union all
        select jsonb_array_elements_text(p_all)
        where not p ? 'name'
    ) n
    where p ->> 'part' = p_part
$$;
comment on function tasker.named_steps(jsonb[], text, jsonb) is
    'The steps that compiled paths name in a part (parents, steps, errors); p_all: those that a '
    'path without a name means.';
