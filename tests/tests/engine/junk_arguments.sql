-- Calls every function that a role may call with junk, and keeps each error that is not of
-- class TK: one row each in junk.findings.
-- Everything is drawn from a seed, and every call is rolled back.

create schema junk;
create table junk.findings (role text, call text, state text, message text);
create table junk.calls (role text, function text, calls int, ended_well int, took interval);
-- What a call may mean: ids, names, and states that are there.
create table junk.known (kind text, value text);

create function junk.any_of(p_values text[])
returns text
language sql volatile as $$
    select p_values[1 + floor(random() * cardinality(p_values))::int]
$$;

create function junk.known(p_kind text)
returns text
language sql volatile as $$
    select coalesce(
        junk.any_of((
            select array_agg(k.value order by k.value)
            from junk.known k
            where k.kind = p_kind
        )),
        'none'
    )
$$;

-- JSON text: shapes that calls take, with one part or another spoilt.
create function junk.json(p_depth int default 0)
returns text
language plpgsql volatile as $$
declare
    -- Deep down nothing nests any further, so that it ends.
    v_pick int := floor(random() * case when p_depth > 3 then 22 else 34 end);
begin
    return case v_pick
        when 0 then 'null'
        when 1 then 'true'
        when 2 then '0'
        when 3 then '-1'
        when 4 then '1.5'
        when 5 then '1e131071'
        when 6 then '-1e400'
        when 7 then '123456789012345678901234567890'
        when 8 then '""'
        when 9 then '"a"'
        when 10 then '{}'
        when 11 then '[]'
        when 12 then '"2026-13-45T99:99:99Z"'
        when 13 then '"infinity"'
        when 14 then '"-infinity"'
        when 15 then '"4714-11-24 BC"'
        when 16 then to_json(junk.known('task'))::text
        when 17 then to_json(junk.known('step'))::text
        when 18 then to_json(repeat('x', 3000))::text
        when 19 then '1e-16383'
        when 20 then '9223372036854775808'
        when 21 then '2147483648'
        when 22 then '[' || junk.json(p_depth + 1) || ',' || junk.json(p_depth + 1) || ']'
        when 23 then '[' || junk.json(p_depth + 1) || ']'
        when 24 then '{"a":' || junk.json(p_depth + 1) || '}'
        when 25 then
            '{' || to_json(junk.known('key')) || ':' || junk.json(p_depth + 1)
            || ',' || to_json(junk.known('key')) || ':' || junk.json(p_depth + 1) || '}'
        else junk.shape(p_depth)
    end;
end
$$;

create function junk.field(p_good text)
returns text
language sql volatile as $$
    select case when random() < 0.75 then p_good else junk.json(3) end
$$;

create function junk.outcome()
returns text
language sql volatile as $$
    select junk.any_of(array[
        '{"type":"success","result":' || junk.field('1') || '}',
        '{"type":"failure","message":' || junk.field('"m"')
            || ',"code":' || junk.field('"c"')
            || ',"retryable":' || junk.field('true')
            || ',"retry_after_ms":' || junk.field('5') || '}',
        '{"type":"decision","create_steps":' || junk.field('["b"]')
            || ',"result":' || junk.field('1') || '}',
        '{"type":"batches","worker_step":' || junk.field('"w"')
            || ',"cursors":' || junk.field('[{"start":1,"end":5}]') || '}',
        '{"type":"checkpoint","cursor":' || junk.field('3')
            || ',"items_processed":' || junk.field('4')
            || ',"accumulated":' || junk.field('{}') || '}'
    ])
$$;

create function junk.shape(p_depth int)
returns text
language plpgsql volatile as $$
declare
    v_task text := junk.field(to_json(junk.known('task'))::text);
    v_step text := junk.field(to_json(junk.known('step'))::text);
begin
    return case floor(random() * 10)::int
        when 0 then junk.outcome()
        -- Results of steps.
        when 1 then
            '[{"task_id":' || v_task
            || ',"step":' || v_step
            || ',"claim_no":' || junk.field('1')
            || ',"outcome":' || junk.field(junk.outcome())
            || ',"duration_ms":' || junk.field('7')
            || ',"events":' || junk.field('[{"name":"order.paid","payload":1,"id":"x"}]') || '}]'
        -- Claims.
        when 2 then
            '[{"task_id":' || v_task
            || ',"step":' || v_step
            || ',"claim_no":' || junk.field('1') || '}]'
        -- Requests, and events, that failed.
        when 3 then
            '[{"msg_id":' || junk.field('1')
            || ',"task_id":' || v_task
            || ',"error":' || junk.field('{"message":"m","code":"c"}') || '}]'
        when 4 then
            '[{"msg_id":' || junk.field('1')
            || ',"delay_ms":' || junk.field('1')
            || ',"error":' || junk.field('"e"')
            || ',"dead":' || junk.field('true') || '}]'
        -- Filters of tasks and of dead letters.
        when 5 then
            '{"namespace":' || junk.field('"n"')
            || ',"states":' || junk.field('["error"]') || '}'
        when 6 then
            '{"task_ids":' || junk.field('[' || v_task || ']')
            || ',"correlation_id":' || v_task || '}'
        when 7 then
            '{"created_after":' || junk.field('"2026-01-01T00:00:00Z"')
            || ',"created_before":' || junk.json(3)
            || ',"error_code":' || junk.field('"c"') || '}'
        -- A template.
        when 8 then
            '{"namespace":' || junk.field('"n"')
            || ',"name":' || junk.field('"flow"')
            || ',"version":' || junk.field('"9"')
            || ',"lifecycle":' || junk.field('{"retention_days":1}')
            || ',"steps":' || junk.field(
                '[{"name":' || junk.field('"a"')
                || ',"type":' || junk.field('"decision"')
                || ',"handler":' || junk.field('{"callable":"noop"}')
                || ',"dependencies":' || junk.field('[]')
                || ',"retry":' || junk.field('{"max_attempts":2}')
                || ',"timeout_seconds":' || junk.field('2')
                || ',"lease_seconds":' || junk.field('2')
                || ',"publishes_events":' || junk.field(
                    '[{"name":' || junk.field('"a.b"')
                    || ',"delivery":' || junk.field('"fast"') || '}]'
                )
                || '},{"name":"b","handler":{"callable":"noop"},"dependencies":["a"]}]'
            ) || '}'
        else
            '{' || to_json(junk.known('key')) || ':' || junk.json(p_depth + 1)
            || ',' || to_json(junk.known('key')) || ':' || junk.json(p_depth + 1) || '}'
    end;
end
$$;

-- A value of a type, as an expression.
create function junk.value(p_type text, p_name text)
returns text
language plpgsql volatile as $$
declare
    v_of text := left(p_type, -2);
begin
    if random() < 0.12 then
        return 'null::' || p_type;
    elsif right(p_type, 2) = '[]' then
        return case floor(random() * 9)::int
            when 0 then format('''{}''::%s', p_type)
            when 1 then format('array[null]::%s', p_type)
            when 2 then format('array[[%s, %s], [%s, %s]]',
                junk.value(v_of, p_name),
                junk.value(v_of, p_name),
                junk.value(v_of, p_name),
                junk.value(v_of, p_name))
            when 3 then
                format('(select array_fill(%s, array[3], array[-5]))', junk.value(v_of, p_name))
            when 4 then format('array_fill(%s, array[2000])', junk.value(v_of, p_name))
            else format('array[%s, %s]::%s',
                junk.value(v_of, p_name),
                junk.value(v_of, p_name),
                p_type)
        end;
    end if;

    return case p_type
        when 'uuid' then '(' || quote_literal(case
                when random() < 0.7 then junk.known('task')
                else junk.any_of(
                    '{00000000-0000-0000-0000-000000000000,'
                    'ffffffff-ffff-ffff-ffff-ffffffffffff}')
            end) || '::uuid)'
        when 'text' then case
            when random() < 0.6 then '(' || quote_literal(junk.known(case
                    when p_name like '%namespace%' then 'namespace'
                    when p_name like '%step%' then 'step'
                    when p_name like '%queue%' then 'queue'
                    when p_name like '%version%' then 'version'
                    when p_name like '%function%' then 'function'
                    when p_name like '%name%' then 'template'
                    else 'key'
                end)) || '::text)'
            else junk.any_of(array[
                    '''''',
                    $x$E'\x01\x1b[2J'$x$,
                    $x$E'\u202e'$x$,
                    $x$''';--"'$x$,
                    'repeat(''x'', 20000)',
                    'repeat(chr(233), 300)',
                    '''A B''',
                    '''%s%I''',
                    '''pg_catalog.now''',
                    '''1''',
                    '''../..''',
                    '''{}''',
                    '''null''',
                    'repeat(''a.'', 500)',
                    'repeat(''n'', 63)',
                    '''2026''',
                    $x$E'\\'$x$
                ]) || '::text'
            end
        when 'jsonb' then format('%L::jsonb',
            case when random() < 0.35 then junk.json() else junk.shape(0) end)
        when 'integer' then quote_literal(junk.any_of(
            '{0,1,2,5,100,-1,-2147483648,2147483647,100000,100001}')) || '::int'
        when 'bigint' then quote_literal(junk.any_of(
            '{0,1,2,-1,-9223372036854775808,9223372036854775807,2147483648}')) || '::bigint'
        when 'interval' then quote_literal(junk.any_of(
            '{0 s,1 s,-1 s,1 day,178000000 years,-178000000 years,0.000001 s,1000000 h,30 s,'
            '1 mon}')) || '::interval'
        when 'timestamp with time zone' then quote_literal(junk.any_of(
            '{infinity,-infinity,4714-11-24 BC,294276-12-31,2026-01-01,0001-01-01,9999-12-31,'
            'now}')) || '::timestamptz'
        when 'numeric' then quote_literal(junk.any_of(
            '{NaN,Infinity,-Infinity,0,-1,1e1000,0.000000001}')) || '::numeric'
        when 'double precision' then quote_literal(junk.any_of(
            '{NaN,Infinity,-Infinity,0,-1,1e300,0.5}')) || '::float8'
        when 'boolean' then junk.any_of('{true,false}')
        -- A label of an enum; null for any other type.
        else coalesce((
                select quote_literal(junk.any_of(
                    array_agg(e.enumlabel::text order by e.enumsortorder))) || '::' || p_type
                from pg_enum e
                where e.enumtypid = p_type::regtype
            ), 'null::' || p_type)
    end;
end
$$;

create function junk.call(p_function oid)
returns text
language plpgsql volatile as $$
declare
    v_args      text := '';
    v_function  record;
    v_given     int;
begin
    select
        p.proname,
        p.pronargs,
        p.pronargdefaults,
        p.proargnames,
        p.proargtypes
    into v_function
    from pg_proc p
    where p.oid = p_function;

    -- Arguments that have a default are left out at times.
    v_given := v_function.pronargs - floor(random() * (v_function.pronargdefaults + 1))::int;
    for v_n in 1 .. v_given loop
        v_args := v_args
            || case when v_n > 1 then ', ' else '' end
            || junk.value(
                format_type(v_function.proargtypes[v_n - 1], null),
                coalesce(v_function.proargnames[v_n], '')
            );
    end loop;
    return format('select count(f::text) from tasker.%I(%s) f', v_function.proname, v_args);
end
$$;

create procedure junk.drive(
    p_role   text,
    p_calls  int,
    p_seed   float8
)
language plpgsql as $$
declare
    v_function  record;
    v_call      text;
    v_state     text;
    v_message   text;
    v_begun     timestamptz;
    v_first     timestamptz;
    v_well      int;
begin
    perform setseed(p_seed);
    for v_function in
        select p.oid, p.proname
        from pg_proc p
        where p.pronamespace = 'tasker'::regnamespace
          and p.prokind = 'f'
          and p.prorettype <> 'trigger'::regtype
          and has_function_privilege(p_role, p.oid, 'execute')
        order by p.proname, p.oid
    loop
        v_first := clock_timestamp();
        v_well := 0;

        for v_n in 1 .. p_calls loop
            v_call := junk.call(v_function.oid);
            v_begun := clock_timestamp();
            -- A call that ends well raises too, so that it is rolled back like the others.
            begin
                execute format('set local role %I', p_role);
                execute v_call;
                raise exception 'ended well' using errcode = 'JUNK0';
            exception when others then
                get stacked diagnostics
                    v_state = returned_sqlstate,
                    v_message = message_text;
                if v_state = 'JUNK0' then
                    v_well := v_well + 1;
                elsif v_state !~ '^TK' and v_state <> '42501' then
                    insert into junk.findings
                    values (p_role, left(v_call, 1000), v_state, left(v_message, 300));
                elsif length(v_message) > 5000 then
                    insert into junk.findings
                    values (
                        p_role,
                        left(v_call, 1000),
                        v_state,
                        format('its message has %s characters', length(v_message))
                    );
                end if;
            end;

            if clock_timestamp() - v_begun > interval '30 s' then
                insert into junk.findings
                values (
                    p_role,
                    left(v_call, 1000),
                    'slow',
                    format('it took %s', clock_timestamp() - v_begun)
                );
            end if;
        end loop;

        insert into junk.calls
        values (p_role, v_function.proname, p_calls, v_well, clock_timestamp() - v_first);
    end loop;
end
$$;

-- A world to call about: tasks in several states, a claim, dead letters, a queue of events.
do $$
declare
    v_task uuid;
begin
    perform tasker.apply_template(
        '{"namespace":"n","name":"flow","version":"1","input_schema":{"type":"object"},
        "steps":[{"name":"a","type":"decision","handler":{"callable":"x"},'
                 '"publishes_events":[{"name":"order.paid"}]},
                 {"name":"b","handler":{"callable":"noop"},"dependencies":["a"]},
                 {"name":"k","type":"batchable","handler":{"callable":"noop"}},
                 {"name":"w","type":"batch_worker","handler":{"callable":"noop"},'
                 '"dependencies":["k"]}]}');
    perform tasker.apply_template(
        '{"namespace":"n","name":"one","version":"1",'
        '"steps":[{"name":"a","handler":{"callable":"x"}}]}');
    for v_n in 1 .. 6 loop
        v_task := tasker.enqueue_task(
            'n',
            case when v_n % 2 = 0 then 'flow' else 'one' end,
            '{}',
            p_idempotency_key => 'key' || v_n
        );
        insert into junk.known values ('task', v_task);
    end loop;
    perform tasker.add_dead_letter(v_task);
    perform tasker.cancel_task(v_task);

    insert into junk.known
    select 'task', d.entry_id
    from tasker.dead_letters d;
    insert into junk.known select 'namespace', unnest('{n,n,n,none}'::text[]);
    insert into junk.known select 'step', unnest('{a,a,b,k,w,w_001,none}'::text[]);
    insert into junk.known select 'template', unnest('{flow,one,none}'::text[]);
    insert into junk.known select 'version', unnest('{1,2}'::text[]);
    insert into junk.known
    select 'function', unnest('{pg_catalog.now,junk.json,n.f,f,pg_sleep}'::text[]);
    insert into junk.known
    select 'queue', unnest(
        '{orchestration_task_requests,orchestration_step_results,'
        'worker_n_queue,n_domain_events,none}'::text[]);
    insert into junk.known
    select 'key', unnest(
        '{task_id,step,claim_no,outcome,type,result,message,retryable,cursor,cursors,states,'
        'namespace,name,steps,events,msg_id,error,dead,pid,host,start,end,$tasker}'::text[]);
    insert into junk.known select 'worker', '00000000-0000-0000-0000-000000000001';
    perform tasker.start_tasks(100);
end
$$;
