create function tasker.first_id(p_prefix text, p_filler text) returns uuid
language sql immutable as $$
    select case
        when length(p_prefix) <= 36 and replace(p_prefix, '-', '') ~ '^[0-9a-fA-F]{1,32}$'
        then rpad(replace(p_prefix, '-', ''), 32, p_filler)::uuid
    end
$$;
comment on function tasker.first_id(text, text) is
    'The first (p_filler 0) or last (f) uuid with this beginning; null: no uuid has it.';
