create function tasker.is_passing_error(p_sqlstate text) returns boolean
language sql immutable parallel safe as $$
    select left(p_sqlstate, 2) in ('08', '25', '40', '53', '54', '55', '57', '58', 'XX')
        -- A right that was taken away, or row security: of the installation, not of a message.
        or p_sqlstate = '42501'
$$;
comment on function tasker.is_passing_error(text) is
    'Whether an error is temporary (deadlock, shutdown, disk full) and not caused by a message: '
    'such a batch is retried whole instead of being halved.';
