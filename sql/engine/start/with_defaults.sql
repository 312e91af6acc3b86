create function tasker.with_defaults(p_context jsonb, p_defaults jsonb) returns jsonb
-- One expression, which becomes part of the statement that calls it.
language sql immutable parallel safe as $$
    select case
        when p_defaults is null or jsonb_typeof(p_context) <> 'object' then p_context
        else p_defaults || p_context
    end
$$;
comment on function tasker.with_defaults(jsonb, jsonb) is
    'A context with the default values of the keys that it lacks. Null defaults: the same.';
