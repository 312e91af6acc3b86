create function tasker.has_handler(p_handlers text[], p_handler text) returns boolean
-- One expression, which becomes part of the statement that calls it.
language sql immutable parallel safe as $$
    select p_handlers is null
        or coalesce(p_handler = any (p_handlers), false)
        or coalesce('*' = any (p_handlers), false)
            and not coalesce('!' || p_handler = any (p_handlers), false)
$$;
comment on function tasker.has_handler(text[], text) is
    'Whether a worker with these handlers has this one: '
    'by its name, or by * (any) without !name. Null: any.';
