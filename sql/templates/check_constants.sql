create function tasker.check_constants(p_definition jsonb)
returns table (path text, code text, message text)
language plpgsql stable as $$
declare
    c_bytes  constant int := 65536;
    v_bytes  int := octet_length((p_definition -> 'constants')::text);
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
end
$$;
comment on function tasker.check_constants(jsonb) is
    'Problems with the constants of a template.';
