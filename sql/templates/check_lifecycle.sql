create function tasker.check_lifecycle(p_lifecycle jsonb)
returns table (path text, code text, message text)
language sql stable as $$
    select * from tasker.check_type(p_lifecycle, '/lifecycle', 'lifecycle', '{object}')
    union all
    select *
    from tasker.check_keys(
        p_lifecycle,
        '/lifecycle',
        '{max_waiting_for_dependencies_minutes,max_waiting_for_retry_minutes,'
        'max_steps_in_process_minutes,max_duration_minutes,retention_days}',
        '{}')
    union all
    select c.*
    from unnest(
        '{max_waiting_for_dependencies_minutes,max_waiting_for_retry_minutes,'
        'max_steps_in_process_minutes,max_duration_minutes}'::text[]
    ) k
    cross join lateral tasker.check_number(
        p_lifecycle -> k, '/lifecycle/' || k, k, 0.01, 5256000, false
    ) c
    where jsonb_typeof(p_lifecycle) = 'object'
    union all
    select *
    from tasker.check_number(
        p_lifecycle -> 'retention_days',
        '/lifecycle/retention_days',
        'retention_days', 0, 36500, false)
$$;
comment on function tasker.check_lifecycle(jsonb) is
    'Problems with the thresholds and the retention of a template.';
