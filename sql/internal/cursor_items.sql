create function tasker.cursor_items(p_cursor jsonb) returns bigint
language sql immutable parallel safe as $$
    select case when jsonb_typeof(p_cursor) = 'object' and p_cursor ->> 'start' ~ '^-?[0-9]{1,17}$' and p_cursor ->> 'end' ~ '^-?[0-9]{1,17}$'
                then greatest((p_cursor ->> 'end')::bigint - (p_cursor ->> 'start')::bigint, 0) else 1 end
$$;
comment on function tasker.cursor_items(jsonb) is 'How many items a cursor stands for: end - start where it has whole numbers there (the end is not part of it), else one.';
