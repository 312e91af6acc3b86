create function tasker.check_condition(
    p_condition     jsonb,
    p_path          text,
    p_dependencies  jsonb,
    p_constants     jsonb
)
returns table (path text, code text, message text)
language plpgsql stable as $$
declare
    v_read  record;
begin
    if jsonb_typeof(p_condition) <> 'string' then
        return query
        select
            p_path,
            'invalid_type',
            format(
                'when must be a condition in quotes, such as ''$.context.n >= 10''; it is %s',
                tasker.excerpt(p_condition));
        return;
    end if;
    v_read := tasker.read_condition(p_condition #>> '{}');
    if v_read.code is not null then
        return query select p_path, v_read.code, v_read.message;
        return;
    end if;

    return query
    select distinct p_path, c.code, c.message
    from unnest(v_read.paths) p(path)
    cross join lateral tasker.check_path(p.path, 'parents', p_dependencies, p_constants) c;
end
$$;
comment on function tasker.check_condition(jsonb, text, jsonb, jsonb) is
    'Problems with one condition: its form, and whether what it names is there.';
