create function tasker.clock() returns timestamptz
-- One expression, which PostgreSQL takes into the caller's; set_clock puts another in its place.
language sql volatile as $$
    select clock_timestamp()
$$;
comment on function tasker.clock() is
    'The engine''s clock, for its own functions. '
    'Real time, unless a test has called tasker.set_clock.';
