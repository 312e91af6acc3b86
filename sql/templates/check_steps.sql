create function tasker.check_steps(p_steps jsonb, p_constants jsonb)
returns table (path text, code text, message text)
language plpgsql stable as $$
declare
    c_paths  constant int := 10000;
    c_whens  constant int := 1000;
    v_paths  bigint;
    v_whens  bigint;
begin
    -- All those of a task may be judged in one commit.
    v_whens := (
        select count(*) from jsonb_path_query(p_steps, '$[*] ? (exists(@.when))', '{}', true)
    );
    if v_whens > c_whens then
        return query
        select
            '/steps',
            'too_large',
            format(
                'a template may have %s conditions; this one has %s: let a decision choose',
                c_whens, v_whens);
        return;
    end if;

    return query
    select c.*
    from jsonb_array_elements(p_steps) with ordinality e(s, n)
    cross join lateral tasker.check_step(e.s, format('/steps/%s', e.n - 1)) c
    order by e.n
    limit 1000;
    return query
    select * from tasker.check_graph(p_steps) limit 1000;
    return query
    select c.*
    from jsonb_array_elements(p_steps) with ordinality e(s, n)
    cross join lateral tasker.check_inputs(e.s, format('/steps/%s', e.n - 1), p_constants) c
    where jsonb_typeof(e.s) = 'object'
      and e.s ?| '{inputs,inputs_required}'
    order by e.n
    limit 1000;
    return query
    select c.*
    from jsonb_array_elements(p_steps) with ordinality e(s, n)
    cross join lateral tasker.check_presence(e.s, format('/steps/%s', e.n - 1), p_constants) c
    where jsonb_typeof(e.s) = 'object'
      and e.s ?| '{when,otherwise,when_false,may_skip,on_error}'
    order by e.n
    limit 1000;
    return query
    select * from tasker.check_sisters(p_steps) limit 1000;
    return query
    select * from tasker.check_choices(p_steps) limit 1000;
    return query
    select * from tasker.check_depth(p_steps);

    -- Each is read when the template is applied, which others wait for.
    v_paths := (
        select sum((length(v.text) - length(replace(v.text, '"$', ''))) / 2)
        from jsonb_path_query(p_steps, '$[*].inputs', '{}', true) i
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
comment on function tasker.check_steps(jsonb, jsonb) is
    'Problems with the steps of a template, the first 1,000 of a kind.';
