create function tasker.check_retry(p_retry jsonb, p_path text)
returns table (path text, code text, message text)
language sql stable as $$
    select * from tasker.check_type(p_retry, p_path, 'retry', '{object}')
    union all
    select *
    from tasker.check_keys(
        p_retry,
        p_path,
        '{retryable,max_attempts,backoff,backoff_base_ms,max_backoff_ms,jitter}',
        '{}')
    union all
    select *
    from tasker.check_type(p_retry -> 'retryable', p_path || '/retryable', 'retryable', '{boolean}')
    union all
    select * from tasker.check_type(p_retry -> 'jitter', p_path || '/jitter', 'jitter', '{boolean}')
    union all
    select *
    from tasker.check_number(
        p_retry -> 'max_attempts',
        p_path || '/max_attempts',
        'max_attempts', 1, 1000, true)
    union all
    select *
    from tasker.check_number(
        p_retry -> 'backoff_base_ms',
        p_path || '/backoff_base_ms',
        'backoff_base_ms', 0, 31536000000, true)
    union all
    select *
    from tasker.check_number(
        p_retry -> 'max_backoff_ms',
        p_path || '/max_backoff_ms',
        'max_backoff_ms', 0, 31536000000, true)
    union all
    select
        p_path || '/backoff',
        'invalid_value',
        format(
            'backoff must be exponential, linear, or fixed; it is %s',
            tasker.excerpt(p_retry -> 'backoff'))
    where p_retry -> 'backoff' not in ('"exponential"', '"linear"', '"fixed"')
$$;
comment on function tasker.check_retry(jsonb, text) is
    'Problems with the retry policy of one step.';
