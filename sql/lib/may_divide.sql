create function tasker.may_divide(p_sqlstate text, p_message text) returns boolean
language sql immutable parallel safe as $$
    select not tasker.is_passing_error(p_sqlstate)
        or left(p_sqlstate, 2) = '54'
        or p_sqlstate = '55P03'
        or p_sqlstate = 'XX000' and p_message like 'invalid memory alloc request size%'
$$;
comment on function tasker.may_divide(text, text) is
    'Whether a smaller batch may do what this one could not: '
    'something in it is wrong, it is too large, or somebody holds a row of it.';
