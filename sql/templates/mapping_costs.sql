create function tasker.mapping_costs(
    p_mapping    jsonb,
    p_constants  jsonb,
    out bytes    int,
    out paths    int
)
language sql immutable as $$
    select
        octet_length(p_mapping ->> 'pieces') + coalesce(
            sum(
                case p ->> 'part'
                    when 'constants' then octet_length(tasker.path_value(p_constants, p)::text)
                    -- A name of a task, or all of them, has no more.
                    when 'task' then 500
                end),
            0)::int,
        count(*) filter (where p ->> 'part' not in ('constants', 'task'))::int
    from jsonb_array_elements(coalesce(p_mapping -> 'paths', '[]')) p
$$;
comment on function tasker.mapping_costs(jsonb, jsonb) is
    'What mapping_bytes counts with: the bytes of what is the same for all tasks, and the paths '
    'into contexts and results.';
