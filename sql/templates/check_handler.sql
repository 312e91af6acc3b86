create function tasker.check_handler(p_handler jsonb, p_path text)
returns table (path text, code text, message text)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_callable text := case when jsonb_typeof(p_handler) = 'object' and jsonb_typeof(p_handler -> 'callable') = 'string' then p_handler ->> 'callable' end;
    v_needs    text := case v_callable when 'sql' then 'function' when 'http' then 'url' end;
begin
    if p_handler is null then
        return;
    elsif jsonb_typeof(p_handler) <> 'object' then
        return query select * from tasker.check_type(p_handler, p_path, 'handler', '{object}');
        return;
    end if;
    return query select * from tasker.check_keys(p_handler, p_path, '{callable,method,config}', '{callable}');
    return query select * from tasker.check_type(p_handler -> 'config', p_path || '/config', 'config', '{object}');
    if p_handler ? 'callable' and coalesce(v_callable, '') !~ '^[a-z][a-z0-9_]*([.][a-z][a-z0-9_]*)*$' then
        return query select p_path || '/callable', 'invalid_name',
            format('callable must be the name a handler is registered by: lower-case letters, digits, _ and dots; it is %s', left((p_handler -> 'callable')::text, 100));
    end if;
    return query select * from tasker.check_name(p_handler -> 'method', p_path || '/method', 'method', 63);
    if v_needs is not null and coalesce(jsonb_typeof(p_handler #> array['config', v_needs]), '') <> 'string' then
        return query select p_path, 'missing_config', format('the %s handler needs config.%s, a string', v_callable, v_needs);
    end if;
end
$$;
comment on function tasker.check_handler(jsonb, text) is 'Problems with the handler of one step.';
