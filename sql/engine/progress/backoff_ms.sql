create function tasker.backoff_ms(
    p_backoff  text,
    p_attempt  int,
    p_base_ms  bigint,
    p_max_ms   bigint,
    p_jitter   boolean
)
returns bigint
language sql volatile as $$
    -- The exponent is at most 30, so that a long retry cannot overflow.
    select (
        least(
            p_max_ms::numeric,
            p_base_ms::numeric * case p_backoff
                when 'exponential' then 2 ^ least(p_attempt - 1, 30)
                when 'linear' then p_attempt
                else 1
            end
        )
        * case when p_jitter then 0.5 + random() / 2 else 1 end
    )::bigint
$$;
comment on function tasker.backoff_ms(text, int, bigint, bigint, boolean) is
    'Milliseconds to wait after attempt p_attempt failed. '
    'Jitter takes away up to half, so that steps that failed together do not come back together.';
