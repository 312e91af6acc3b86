create function tasker.check_constants(p_definition jsonb)
returns table (path text, code text, message text)
language plpgsql stable as $$
declare
    c_bytes   constant int := 65536;
    c_paths   constant int := 10000;
    v_bytes   int := octet_length((p_definition -> 'constants')::text);
    v_paths   bigint;
begin
    return query
    select *
    from tasker.check_type(p_definition -> 'constants', '/constants', 'constants', '{object}');
    return query
    select
        '/constants',
        'too_large',
        format('constants may have %s bytes; these have %s', c_bytes, v_bytes)
    where v_bytes > c_bytes;

    -- Each is read when the template is applied, which others wait for.
    v_paths := (
        select sum((length(v.text) - length(replace(v.text, '"$', ''))) / 2)
        from jsonb_path_query(
            p_definition, '$.steps[*].inputs', '{}', true) i
        cross join lateral (select i::text) v(text)
    );
    return query
    select
        '/steps',
        'too_large',
        format(
            'the inputs of all steps may have %s paths; these have %s: '
            'let steps take whole objects',
            c_paths, v_paths)
    where v_paths > c_paths;
end
$$;
comment on function tasker.check_constants(jsonb) is
    'Problems with the constants of a template, and with the number of paths in it.';
