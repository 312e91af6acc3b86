create function tasker.cursor_count(p_decided jsonb) returns int
language sql immutable parallel safe as $$
    select case
        when jsonb_typeof(p_decided -> 'cursors') = 'array'
        then jsonb_array_length(p_decided -> 'cursors')
        else 0
    end
$$;
comment on function tasker.cursor_count(jsonb) is
    'How many instances the outcome of a batchable creates; 0 for any other outcome.';
