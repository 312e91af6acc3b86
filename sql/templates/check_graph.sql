create function tasker.check_graph(p_steps jsonb)
returns table (path text, code text, message text)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_names     text[];
    v_parents   text[];
    v_children  text[];
    v_cycle     text[];
begin
    select array_agg(case when jsonb_typeof(s) = 'object' then s ->> 'name' end order by n) into v_names
      from jsonb_array_elements(p_steps) with ordinality e(s, n);
    return query
        select format('/steps/%s/name', n - 1), 'duplicate_name',
               format('step "%s" stands here and in /steps/%s', v_names[n], array_position(v_names, v_names[n]) - 1)
          from generate_subscripts(v_names, 1) n
         where v_names[n] is not null and array_position(v_names, v_names[n]) < n;
    return query
        select format('/steps/%s/name', n - 1), 'colliding_name',
               format('step "%s" has the form of an instance of step "%s"; such names are made by the engine', v_names[n], regexp_replace(v_names[n], '_[0-9]{3,}$', ''))
          from generate_subscripts(v_names, 1) n
         where v_names[n] ~ '_[0-9]{3,}$' and regexp_replace(v_names[n], '_[0-9]{3,}$', '') = any (v_names);
    -- Dependencies that name a step go on to the search for cycles.
    return query
        select format('/steps/%s/dependencies/%s', d.step_n - 1, d.n - 1),
               case when jsonb_typeof(d.v) <> 'string' then 'invalid_type' when d.v #>> '{}' <> all (v_names) then 'unknown_dependency'
                    when d.v #>> '{}' = v_names[d.step_n] then 'cycle' else 'duplicate_dependency' end,
               case when jsonb_typeof(d.v) <> 'string' then 'a dependency must be the name of a step'
                    when d.v #>> '{}' <> all (v_names) then format('there is no step "%s" to depend on', d.v #>> '{}')
                    when d.v #>> '{}' = v_names[d.step_n] then format('cycle: %s -> %s', v_names[d.step_n], v_names[d.step_n])
                    else format('"%s" is named twice', d.v #>> '{}') end
          from (select d.*, row_number() over (partition by d.step_n, d.v order by d.n) as nth from tasker.template_dependencies(p_steps) d(n, v, step_n)) d
         where jsonb_typeof(d.v) <> 'string' or coalesce(d.v #>> '{}' <> all (array_remove(v_names, null)), true) or d.v #>> '{}' = v_names[d.step_n] or d.nth > 1
         order by d.step_n, d.n;
    select array_agg(d.v #>> '{}'), array_agg(v_names[d.step_n]) into v_parents, v_children
      from tasker.template_dependencies(p_steps) d(n, v, step_n)
     where d.v #>> '{}' = any (v_names) and d.v #>> '{}' <> v_names[d.step_n];
    v_cycle := tasker.find_cycle(v_parents, v_children);
    if v_cycle is not null then
        return query select format('/steps/%s/dependencies', array_position(v_names, v_cycle[2]) - 1), 'cycle',
                            'cycle: ' || array_to_string(v_cycle, ' -> ');
    end if;
end
$$;
comment on function tasker.check_graph(jsonb) is 'Problems between the steps of a template: names, dependencies, cycles.';
