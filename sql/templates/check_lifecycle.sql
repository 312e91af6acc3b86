create function tasker.check_lifecycle(p_lifecycle jsonb)
returns table (path text, code text, message text)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_minutes text[] := '{max_waiting_for_dependencies_minutes,max_waiting_for_retry_minutes,max_steps_in_process_minutes,max_duration_minutes}';
begin
    return query select * from tasker.check_type(p_lifecycle, '/lifecycle', 'lifecycle', '{object}');
    if jsonb_typeof(p_lifecycle) = 'object' then
        return query select * from tasker.check_keys(p_lifecycle, '/lifecycle', v_minutes || '{retention_days}', '{}');
        return query select c.* from unnest(v_minutes) k cross join lateral tasker.check_number(p_lifecycle -> k, '/lifecycle/' || k, k, 0.01, 5256000, false) c;
        return query select * from tasker.check_number(p_lifecycle -> 'retention_days', '/lifecycle/retention_days', 'retention_days', 0, 36500, false);
    end if;
end
$$;
comment on function tasker.check_lifecycle(jsonb) is 'Problems with the thresholds and the retention of a template.';
