create function tasker.template_warnings(p_definition jsonb)
returns table (path text, code text, message text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set jit = off as $$
declare
    v_steps   jsonb := p_definition -> 'steps';
    v_known   jsonb := '{}';
    v_before  jsonb;
begin
    if exists (select from tasker.validate_template(p_definition)) then
        return;
    end if;
    -- Of each step the choices it depends on: the names of the steps that some decision must choose. A deferred step whose
    -- parents depend on different ones stands for a condition of its own. Again until nothing is added: a level each time.
    loop
        v_before := v_known;
        select v_known || coalesce(jsonb_object_agg(n.name, n.choices), '{}') into v_known
          from (select s.name, s.type, coalesce(bool_and(v_before ? p.name), true) as known,
                       case when s.type = 'deferred' and count(distinct v_before -> p.name) > 1 then to_jsonb(array[s.name])
                            when s.type = 'deferred' then coalesce(min((v_before -> p.name)::text)::jsonb, '[]')
                            else (select coalesce(jsonb_agg(distinct c.name order by c.name), '[]')
                                    from (select jsonb_array_elements_text(u.choices) as name from unnest(array_agg(v_before -> p.name)) u(choices)
                                          union select s.name where bool_or(p.type = 'decision')) c) end as choices
                  from (select e.n, e.s ->> 'name' as name, coalesce(e.s ->> 'type', 'standard') as type from jsonb_array_elements(v_steps) with ordinality e(s, n)) s
                  left join tasker.template_dependencies(v_steps) d on d.step_n = s.n
                  left join (select e.s ->> 'name' as name, e.s ->> 'type' as type from jsonb_array_elements(v_steps) e(s)) p on p.name = d.dependency #>> '{}'
                 group by s.n, s.name, s.type) n
         where n.known and not v_before ? n.name;
        exit when v_known = v_before;
    end loop;
    return query
        select format('/steps/%s/dependencies', s.n - 1), 'partial_parents',
               format('step "%s" exists only if all of %s exist, and these depend on different choices: make it deferred if it should wait for those that exist',
                      s.name, string_agg(format('"%s"', d.dependency #>> '{}'), ', ' order by d.n))
          from (select e.n, e.s ->> 'name' as name, e.s ->> 'type' as type from jsonb_array_elements(v_steps) with ordinality e(s, n)) s
          join tasker.template_dependencies(v_steps) d on d.step_n = s.n
         where s.type is distinct from 'deferred'
         group by s.n, s.name
        having count(distinct v_known -> (d.dependency #>> '{}')) > 1
         order by s.n;
    return query
        select format('/steps/%s/type', e.n - 1), 'deferred_root', format('step "%s" is deferred and depends on nothing: it exists from the start', e.s ->> 'name')
          from jsonb_array_elements(v_steps) with ordinality e(s, n)
         where e.s ->> 'type' = 'deferred' and coalesce(jsonb_array_length(e.s -> 'dependencies'), 0) = 0
         order by e.n;
    return query
        select format('/steps/%s/type', d.n - 1), 'deep_decision',
               format('the decision "%s" is nested %s deep; more than %s (max_decision_depth in tasker.settings) are refused when they choose a step', d.name, d.depth, c.max_decision_depth)
          from (select l.n, e.s ->> 'name' as name, l.decision_depth as depth
                  from tasker.graph_levels(v_steps) l join jsonb_array_elements(v_steps) with ordinality e(s, n) on e.n = l.n where e.s ->> 'type' = 'decision') d
          join tasker.settings c on d.depth > c.max_decision_depth
         order by d.n;
end
$$;
comment on function tasker.template_warnings(jsonb) is 'What is valid in a template and probably not meant, in the form of validate_template: a standard step whose parents may exist only in part, a deferred step without any, decisions nested too deep. Of a template that is not valid: none.';
