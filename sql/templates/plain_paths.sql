create function tasker.plain_paths(p_paths jsonb[], p_under text, p_batches text[])
returns boolean
language sql immutable as $$
    select true
    from unnest(p_paths) p
    -- A result is read again for each path into it, so these are few.
    having count(*) <= 16
       and bool_and(
        p ? 'keys'
        and (
            p ->> 'part' = 'context'
            or p ->> 'part' = p_under
            and p ? 'name'
            and not coalesce(p ->> 'name' = any (p_batches), false)
        ))
$$;
comment on function tasker.plain_paths(jsonb[], text, text[]) is
    'Whether plain_mapping can make a mapping of these paths: all have only keys, of the context '
    'or of a step that is no batch. Null: it cannot.';
