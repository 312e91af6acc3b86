create function tasker.mapping_bytes(
    p_mapping  jsonb,
    p_context  bigint,
    p_parents  bigint,
    p_limit    bigint
)
returns bigint
-- One expression, which becomes part of the statement that calls it.
language sql immutable parallel safe as $$
    select case
        when p_mapping is null then 0
        else least(
            p_limit,
            (p_mapping ->> 'bytes')::bigint
                + jsonb_array_length(p_mapping -> 'paths') * greatest(p_context, p_parents))
    end
$$;
comment on function tasker.mapping_bytes(jsonb, bigint, bigint, bigint) is
    'The most bytes, as text, that a mapping makes of a context and results of parents with so '
    'many bytes.';
