create function tasker.check_http_api(p_step jsonb, p_path text)
returns table (path text, code text, message text)
language plpgsql stable as $$
declare
    c_bytes   constant int := 65536;
    v_config  jsonb := p_step #> '{handler,config}';
    v_inputs  jsonb := coalesce(p_step -> 'inputs', '{}');
begin
    if v_config -> 'api' is distinct from 'true' then
        return query
        select * from tasker.check_type(v_config -> 'api', p_path || '/api', 'api', '{boolean}');
        return;
    end if;
    -- The cursors of a batch are not known yet.
    if p_step ->> 'type' = 'batch_worker' or jsonb_typeof(v_inputs) <> 'object' then
        v_inputs := null;
    end if;

    return query
    select *
    from tasker.check_keys(
        v_config,
        p_path,
        '{api,method,url,query,headers,json,form,text,ok,response,timeout_seconds}',
        '{}');
    return query
    select t.*
    from (values
        ('method', '{string}'::text[]), ('query', '{object}'), ('headers', '{object}'),
        ('form', '{object}'), ('text', '{string}'), ('ok', '{array}'), ('response', '{string}')
    ) k(key, types)
    cross join lateral tasker.check_type(
        v_config -> k.key, p_path || '/' || k.key, k.key, k.types) t;
    return query
    select * from tasker.check_http_call(v_config, p_path);
    return query
    select * from tasker.check_http_url(v_config ->> 'url', p_path || '/url')
    where jsonb_typeof(v_config -> 'url') = 'string';

    return query
    select c.*
    from (values ('query', true), ('headers', true), ('form', false)) k(key, secrets)
    cross join lateral jsonb_each(
        case jsonb_typeof(v_config -> k.key) when 'object' then v_config -> k.key else '{}' end
    ) e
    cross join lateral tasker.pointer(p_path || '/' || k.key, left(e.key, 100)) p(path)
    cross join lateral (
        select *
        from tasker.check_type(
            e.value,
            p.path,
            left(e.key, 100),
            case k.key when 'headers' then '{string}'::text[] else '{string,number,boolean}' end)
        union all
        select *
        from tasker.check_placeholders(e.value #>> '{}', p.path, k.secrets, v_inputs)
        where jsonb_typeof(e.value) = 'string'
    ) c;
    return query
    select c.*
    from (values ('url'), ('text')) k(key)
    cross join lateral tasker.check_placeholders(
        v_config ->> k.key, p_path || '/' || k.key, false, v_inputs) c
    where jsonb_typeof(v_config -> k.key) = 'string';
    if octet_length((v_config -> 'json')::text) > c_bytes
        or v_config -> 'json' @? 'strict $.**{33}'
    then
        return query
        select
            p_path || '/json',
            'too_large',
            format(
                'json may have %s bytes, and objects and lists in 32 levels: '
                'let inputs have what is larger, "{name}" takes it whole',
                c_bytes);
        return;
    end if;
    return query
    select c.*
    from tasker.strings_like(v_config -> 'json', '[{}]') s
    cross join lateral tasker.check_placeholders(
        s.value, p_path || '/json' || s.place, false, v_inputs) c;
end
$$;
comment on function tasker.check_http_api(jsonb, text) is
    'Problems with the configuration of a step of the http handler that has api: true. '
    'p_path: of the configuration.';
