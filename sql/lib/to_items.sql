create function tasker.to_items(p_value jsonb)
returns bigint
language sql immutable parallel safe as $$
    select case
        when coalesce(jsonb_typeof(p_value), 'null') = 'null' then 0
        when jsonb_typeof(p_value) <> 'number' then null
        when p_value::numeric between 0 and 1e15
         and p_value::numeric = trunc(p_value::numeric) then p_value::numeric::bigint
    end
$$;
comment on function tasker.to_items(jsonb) is
    'The JSON value as a number of items; a missing value is 0, and null means that it is not a '
    'number.';
