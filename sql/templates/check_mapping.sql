create function tasker.check_mapping(
    p_value      jsonb,
    p_path       text,
    p_what       text,
    p_under      text,
    p_names      jsonb,
    p_constants  jsonb
)
returns table (path text, code text, message text)
language plpgsql stable as $$
declare
    c_paths   constant int := 200;
    c_bytes   constant int := 65536;
    -- A path begins with $., or is $.
    c_begins  constant text := '^[$]([.]|$)';
    v_count   bigint;
begin
    if jsonb_typeof(p_value) is distinct from 'object' then
        return query select * from tasker.check_type(p_value, p_path, p_what, '{object}');
        return;
    end if;
    if octet_length(p_value::text) > c_bytes then
        return query
        select
            p_path,
            'too_large',
            format(
                '%s may have %s bytes; here are %s',
                p_what, c_bytes, octet_length(p_value::text));
        return;
    end if;
    if p_value::text not like '%"$%' then
        return;
    end if;
    if p_value @? 'strict $.**{33}' then
        return query
        select p_path, 'too_large', format('%s may have objects and lists in 32 levels', p_what);
        return;
    end if;
    v_count := (select count(*) from tasker.strings_like(p_value, c_begins));
    if v_count > c_paths then
        return query
        select
            p_path,
            'too_large',
            format(
                '%s may have %s paths; here are %s: take whole objects', p_what, c_paths, v_count);
        return;
    end if;

    return query
    select
        p_path || s.place,
        c.code,
        c.message
    from tasker.strings_like(p_value, c_begins) s
    cross join lateral tasker.check_path(s.value, p_under, p_names, p_constants) c
    order by s.at;
end
$$;
comment on function tasker.check_mapping(jsonb, text, text, text, jsonb, jsonb) is
    'Problems with an object whose strings may be paths. p_under, p_names: as in check_path.';
