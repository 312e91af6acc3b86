-- for: client, operator, readonly
-- planner: jit = off, enable_nestloop = off
create function tasker.validate_template(p_definition jsonb)
returns table (path text, code text, message text)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if coalesce(jsonb_typeof(p_definition), 'null') <> 'object' then
        return query
        select
            '',
            'invalid_type',
            'a template must be an object with the keys namespace, name, version, and steps';
        return;
    end if;

    -- A template over a limit is not looked at further.
    return query
    select * from tasker.check_size(p_definition);
    if found then
        return;
    end if;

    return query
    select *
    from tasker.check_keys(
        p_definition,
        '',
        '{namespace,name,version,description,constants,input_schema,on_failure,lifecycle,steps,'
        'output}',
        '{namespace,name,version,steps}');
    return query
    select * from tasker.check_name(p_definition -> 'namespace', '/namespace', 'namespace', 33);
    return query
    select * from tasker.check_name(p_definition -> 'name', '/name', 'the name of a template', 63);
    return query
    select
        '/version',
        'invalid_version',
        format(
            'version must be a string of 1 to 64 characters, in quotes such as "1.0.0"; it is %s',
            tasker.excerpt(p_definition -> 'version'))
    where p_definition ? 'version'
      and not (
          jsonb_typeof(p_definition -> 'version') = 'string'
          and length(p_definition ->> 'version') between 1 and 64
      );
    return query
    select * from tasker.check_hidden(p_definition -> 'version', '/version', 'version', true);
    return query
    select *
    from tasker.check_type(
        p_definition -> 'description', '/description', 'description', '{string}');
    return query
    select *
    from tasker.check_hidden(p_definition -> 'description', '/description', 'description', false);
    return query
    select *
    from tasker.check_type(
        p_definition -> 'input_schema', '/input_schema', 'input_schema', '{object,boolean}');
    return query
    select * from tasker.check_constants(p_definition);
    return query
    select
        '/on_failure',
        'invalid_value',
        format(
            'on_failure must be block or fail; it is %s',
            tasker.excerpt(p_definition -> 'on_failure'))
    where p_definition -> 'on_failure' not in ('"block"', '"fail"');
    return query
    select * from tasker.check_lifecycle(p_definition -> 'lifecycle');

    if jsonb_typeof(p_definition -> 'steps') = 'array' then
        return query
        select * from tasker.check_steps(p_definition -> 'steps', p_definition -> 'constants');
        return query
        select *
        from tasker.check_mapping(
            p_definition -> 'output',
            '/output',
            'output',
            'steps',
            jsonb_path_query_array(p_definition, '$.steps[*].name', '{}', true),
            p_definition -> 'constants');
    else
        return query
        select * from tasker.check_type(p_definition -> 'steps', '/steps', 'steps', '{array}');
    end if;
end
$$;
comment on function tasker.validate_template(jsonb) is
    'Every problem of a template at once (the first 1,000 of a kind): '
    'a JSON Pointer to the place, a stable code, and what to do. No rows: valid.';
