create function tasker.to_count(p_value jsonb) returns int
language sql immutable parallel safe as $$
    select case when jsonb_typeof(p_value) = 'number' and (p_value #>> '{}') ~ '^[0-9]{1,9}$' then (p_value #>> '{}')::int end
$$;
comment on function tasker.to_count(jsonb) is 'The JSON value as a whole number from 0 to 999,999,999, or null where it is none.';
