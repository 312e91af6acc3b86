create function tasker.check_graph(p_steps jsonb)
returns table (path text, code text, message text)
language plpgsql stable as $$
declare
    v_names  text[];
begin
    select array_agg(
        case when jsonb_typeof(s -> 'name') = 'string' then s ->> 'name' end
        order by n)
    into v_names
    from jsonb_array_elements(p_steps) with ordinality e(s, n);

    return query
    select * from tasker.check_step_names(v_names);
    return query
    select * from tasker.check_dependencies(p_steps, v_names);
    return query
    select * from tasker.check_cycle(p_steps, v_names);
end
$$;
comment on function tasker.check_graph(jsonb) is
    'Problems between the steps of a template: names, dependencies, cycles.';
