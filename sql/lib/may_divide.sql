create function tasker.may_divide(p_sqlstate text, p_message text) returns boolean
language sql immutable parallel safe as $$
    select not tasker.is_passing_error(p_sqlstate)
        or left(p_sqlstate, 2) = '54'
        or p_sqlstate = '55P03'
        or p_sqlstate = 'XX000' and p_message like 'invalid memory alloc request size%'
$$;
comment on function tasker.may_divide(text, text) is
    'Whether a smaller batch may succeed after this error: something in the batch is wrong, it is '
    'too large, or one of its rows is locked.';
