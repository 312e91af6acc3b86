create function tasker.retention_cutoff(p_now timestamptz, p_days numeric)
returns timestamptz
language sql immutable parallel safe as $$
    select p_now - make_interval(secs => (least(p_days, 36500) * 86400)::double precision)
$$;
comment on function tasker.retention_cutoff(timestamptz, numeric) is
    'What finished before this time is older than so many days; a century at most.';
