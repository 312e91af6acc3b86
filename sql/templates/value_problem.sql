create function tasker.value_problem(p_test text) returns text
language plpgsql immutable as $$
begin
    -- Where nothing is there, a condition is true, false, or null, and a path gives nothing.
    if p_test <> 'null' and (
        select array_agg(jsonb_typeof(q)) in (array['boolean'], array['null'])
        from jsonb_path_query('{}', p_test::jsonpath, '{}', true) q
    ) then
        return null;
    end if;
    return format(
        '%s is a value and no condition: compare it, as in $.context.vip == true, or ask for it by '
        'exists(...)',
        tasker.excerpt(to_jsonb(p_test)));
exception when others then
    return sqlerrm;
end
$$;
comment on function tasker.value_problem(text) is
    'The problem of a jsonpath that gives a value where a condition is wanted; null: it is one.';
