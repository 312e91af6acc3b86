-- Who may do what. Runs last, each time the functions are made. public may execute nothing.
do $$
declare
    v_schema    text := 'tasker';
    -- The installer reads both from the heads of the files: `-- for:` and `-- planner:`.
    v_grants    jsonb := current_setting('tasker.grants');
    v_planner   jsonb := current_setting('tasker.planner');
    v_role      text;
    v_function  text;
    v_alter     text;
begin
    -- Roles belong to the whole cluster: another database may have made them, or may be making them
    -- now. They are looked for each time, since a restored database may have come to another
    -- cluster.
    for v_role in select jsonb_object_keys(v_grants) loop
        begin
            if to_regrole(v_role) is null then
                execute format('create role %I nologin', v_role);
            end if;
        exception
            when duplicate_object or unique_violation then
                null;
            when insufficient_privilege then
                raise notice
                    'role % was not created (no right to create roles); '
                    'create it and run tasker migrate again to grant its functions',
                    v_role;
        end;
    end loop;

    -- The settings of a caller's session must not change what these functions, and those that they
    -- call, do. With standard_conforming_strings off, pgmq's functions cannot be compiled; with
    -- row_security off, row security that would hide rows raises an error instead.
    for v_alter in
        select format(
            'alter function %s set standard_conforming_strings = on set row_security = off',
            p.oid::regprocedure
        )
        from pg_catalog.pg_proc p
        where p.pronamespace = v_schema::regnamespace
          and p.prosecdef
          and p.prokind = 'f'
          and not exists (select from unnest(p.proconfig) c where c like 'row_security=%')
    loop
        execute v_alter;
    end loop;

    for v_alter in
        select format('alter function %s set %s', p.oid::regprocedure, s.setting)
        from jsonb_each(v_planner) f(name, settings)
        cross join jsonb_array_elements_text(f.settings) s(setting)
        join pg_catalog.pg_proc p
          on p.pronamespace = v_schema::regnamespace
         and p.proname = f.name
        where replace(s.setting, ' ', '') <> all (coalesce(p.proconfig, '{}'))
    loop
        execute v_alter;
    end loop;

    execute 'revoke execute on all functions in schema tasker from public';
    for v_role in select jsonb_object_keys(v_grants) loop
        continue when to_regrole(v_role) is null;
        execute format('grant usage on schema tasker to %I', v_role);
        for v_function in select jsonb_array_elements_text(v_grants -> v_role) loop
            execute format(
                'grant execute on %s to %I',
                (
                    select string_agg(format('function %s', p.oid::regprocedure), ', ')
                    from pg_proc p
                    where p.pronamespace = v_schema::regnamespace
                      and p.proname = v_function
                ),
                v_role
            );
        end loop;
    end loop;

    foreach v_role in array array['tasker_operator', 'tasker_readonly'] loop
        continue when to_regrole(v_role) is null;
        execute format('grant select on all tables in schema tasker to %I', v_role);
        -- These views are not filtered by namespace; only tasker's own functions read them.
        execute format(
            'revoke select on tasker.every_ready_step, tasker.every_gated_namespace from %I',
            v_role
        );
    end loop;

    -- Every process checks the schema at its start.
    foreach v_role in array array[
        'tasker_client',
        'tasker_worker',
        'tasker_orchestrator',
        'tasker_consumer'
    ] loop
        continue when to_regrole(v_role) is null;
        execute format(
            'grant select on tasker.schema_info, tasker.schema_migrations to %I',
            v_role
        );
    end loop;
    if to_regrole('tasker_orchestrator') is not null then
        execute
            'grant select on tasker.queue_overview, tasker.dead_letter_counts '
            'to tasker_orchestrator';
    end if;
end
$$;
