create function tasker.context_bytes(p_context jsonb, p_max_bytes int)
returns bigint
language sql stable as $$
    select case
        when pg_column_size(p_context) > 80 then tasker.json_bytes(p_context, p_max_bytes)
        else 0
    end
$$;
comment on function tasker.context_bytes(jsonb, int) is
    'The bytes of a context as text, as exact as those of json_bytes; 0 for a small one.';
