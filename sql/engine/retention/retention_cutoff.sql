create function tasker.retention_cutoff(p_now timestamptz, p_days numeric)
returns timestamptz
language sql immutable parallel safe as $$
    select p_now - make_interval(secs => (least(p_days, 36500) * 86400)::double precision)
$$;
comment on function tasker.retention_cutoff(timestamptz, numeric) is
    'The time that many days ago, at most a century: rows that finished before it are older.';
