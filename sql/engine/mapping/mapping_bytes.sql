create function tasker.mapping_bytes(
    p_literal  int,
    p_paths    int,
    p_context  bigint,
    p_parents  bigint,
    p_limit    bigint
)
returns bigint
-- One expression, which becomes part of the statement that calls it.
language sql immutable parallel safe as $$
    select case
        when p_literal is null then 0
        else least(p_limit, p_literal + p_paths * greatest(p_context, p_parents))
    end
$$;
comment on function tasker.mapping_bytes(int, int, bigint, bigint, bigint) is
    'The most bytes, as text, of inputs that are made of a context and results of parents with so '
    'many bytes. p_literal, p_paths: inputs_bytes and inputs_paths of the template''s step.';
