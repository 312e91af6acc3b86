create function tasker.shortened(p_value jsonb)
returns jsonb
-- pg_column_size looks at the stored form: a large value is left out without being read.
language sql immutable parallel safe as $$
    select case
        when p_value is null then null
        when pg_column_size(p_value) > 2000 then jsonb_build_object(
            '$omitted', format('%s bytes as stored', pg_column_size(p_value))
        )
        when octet_length(p_value::text) > 8000 then jsonb_build_object(
            '$omitted', format('%s bytes', octet_length(p_value::text))
        )
        else p_value
    end
$$;
comment on function tasker.shortened(jsonb) is
    'The value as a snapshot keeps it: itself, or its size if it is large.';
