-- for: client, operator, readonly
-- planner: jit = off, enable_nestloop = off
create function tasker.template_warnings(p_definition jsonb)
returns table (path text, code text, message text)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_steps  jsonb := p_definition -> 'steps';
    v_sets   text[];
begin
    if exists (select from tasker.validate_template(p_definition)) then
        return;
    end if;

    v_sets := tasker.choice_sets(v_steps);
    if v_sets is null then
        return query
        select
            '/steps',
            'not_checked',
            'this template has too many choices to tell whether each step has all of its parents '
            'or none';
    end if;
    return query
    select
        format('/steps/%s/dependencies', s.n - 1),
        'partial_parents',
        format(
            'step "%s" exists only if all of %s exist, and these depend on different choices: '
            'make it deferred if it should wait for those that exist',
            s.name,
            left(string_agg(format('"%s"', p.s ->> 'name'), ', ' order by p.n), 1000))
    from (
        select
            e.n,
            e.s ->> 'name' as name,
            e.s ->> 'type' as type
        from jsonb_array_elements(v_steps) with ordinality e(s, n)
    ) s
    join tasker.choice_edges(v_steps) g on g.child = s.n
    join jsonb_array_elements(v_steps) with ordinality p(s, n) on p.n = g.parent
    join unnest(v_sets) with ordinality c(choices, n) on c.n = g.parent
    -- A step that may be skipped is a choice of what depends on it.
    cross join lateral (
        select array(
            select distinct m.m
            from unnest(c.choices::int[] || g.choice) m(m)
            where m.m <> coalesce(g.choice, 0)
               or g.choice = -3 * g.parent - 1
            order by m.m
        )::text as choices
    ) needs
    where s.type is distinct from 'deferred'
    group by s.n, s.name
    having count(distinct needs.choices) > 1
    order by s.n;

    return query
    select
        format('/steps/%s/type', e.n - 1),
        'deferred_root',
        format(
            'step "%s" is deferred and depends on nothing: it exists from the start',
            e.s ->> 'name')
    from jsonb_array_elements(v_steps) with ordinality e(s, n)
    where e.s ->> 'type' = 'deferred'
      and coalesce(jsonb_array_length(e.s -> 'dependencies'), 0) = 0
    order by e.n;

    return query
    select
        format('/steps/%s/type', d.n - 1),
        'deep_decision',
        format(
            'the decision "%s" is nested %s deep; more than %s '
            '(max_decision_depth in tasker.settings) are refused when they choose a step',
            d.name, d.depth, c.max_decision_depth)
    from (
        select
            l.n,
            e.s ->> 'name' as name,
            l.decision_depth as depth
        from tasker.graph_levels(v_steps) l
        join jsonb_array_elements(v_steps) with ordinality e(s, n) on e.n = l.n
        where e.s ->> 'type' = 'decision'
    ) d
    join tasker.settings c on d.depth > c.max_decision_depth
    order by d.n;

    return query
    select w.* from tasker.condition_warnings(v_steps) w;

    return query
    select w.* from tasker.handler_warnings(p_definition) w;
end
$$;
comment on function tasker.template_warnings(jsonb) is
    'Parts of a valid template that are probably mistakes, in the form of validate_template: a '
    'standard step whose parents may exist only in part, a condition that is false where a value '
    'is missing, a step that needs several failures, a deferred step without parents, '
    'decisions nested too deep, handlers that no live worker of the namespace has although some '
    'workers are alive. An invalid template has no warnings.';
