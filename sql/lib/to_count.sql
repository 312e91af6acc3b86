create function tasker.to_count(p_value jsonb)
returns int
language sql immutable parallel safe as $$
    select case
        when jsonb_typeof(p_value) = 'number'
          or (
              jsonb_typeof(p_value) = 'string'
              and (p_value #>> '{}') ~ '^-?[0-9]{1,15}(\.[0-9]{1,15})?$'
          ) then least(greatest(round((p_value #>> '{}')::numeric), 0), 999999999)::int
    end
$$;
comment on function tasker.to_count(jsonb) is
    'The JSON number, or the number in a JSON string, as a whole number from 0 to 999,999,999: '
    'rounded, and cut at both ends. Null if it is not a number.';
