create function tasker.excerpt(p_value jsonb) returns text
language sql immutable parallel safe as $$
    select case
        when p_value is null then 'null'
        -- A few bytes can be a number of 131,072 digits; a text of it is not worth a message.
        when pg_column_size(p_value) > 1000
        then format('%s of %s bytes', jsonb_typeof(p_value), pg_column_size(p_value))
        else left(p_value::text, 100)
    end
$$;
comment on function tasker.excerpt(jsonb) is
    'The beginning of a value for a message, or its type and size if it is large.';
