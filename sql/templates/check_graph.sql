create function tasker.check_graph(p_steps jsonb)
returns table (path text, code text, message text)
language plpgsql stable as $$
declare
    v_names     text[];
    v_parents   int[];
    v_children  int[];
    v_cycle     int[];
begin
    select array_agg(
        case when jsonb_typeof(s -> 'name') = 'string' then s ->> 'name' end
        order by n)
    into v_names
    from jsonb_array_elements(p_steps) with ordinality e(s, n);

    return query
    select
        format('/steps/%s/name', d.n - 1),
        'duplicate_name',
        format('step "%s" stands here and in /steps/%s', left(d.name, 100), d.first - 1)
    from (
        select
            u.name,
            u.n,
            min(u.n) over (partition by u.name) as first
        from unnest(v_names) with ordinality u(name, n)
    ) d
    where d.name is not null
      and d.n > d.first
    order by d.n;

    return query
    select
        format('/steps/%s/name', c.n - 1),
        'colliding_name',
        format(
            'step "%s" has the form of an instance of step "%s"; '
            'such names are made by the engine',
            left(c.name, 100), left(c.base, 100))
    from (
        select
            u.name,
            u.n,
            regexp_replace(u.name, '_[0-9]{3,}$', '') as base
        from unnest(v_names) with ordinality u(name, n)
        where u.name ~ '_[0-9]{3,}$'
    ) c
    where c.base in (select u.name from unnest(v_names) u(name))
    order by c.n;

    -- Dependencies that name another step go on to the search for cycles.
    return query
    select
        format('/steps/%s/dependencies/%s', d.step_n - 1, d.n - 1),
        case
            when d.name is null then 'invalid_type'
            when s.name is null then 'unknown_dependency'
            when d.name = v_names[d.step_n] then 'cycle'
            else 'duplicate_dependency'
        end,
        case
            when d.name is null
                then 'a dependency must be the name of a step'
            when s.name is null
                then format('there is no step "%s" to depend on', left(d.name, 100))
            when d.name = v_names[d.step_n]
                then format('cycle: %s -> %s', left(d.name, 100), left(d.name, 100))
            else format('"%s" is named twice', left(d.name, 100))
        end
    from (
        select
            d.step_n,
            d.n,
            case
                when jsonb_typeof(d.dependency) = 'string' then d.dependency #>> '{}'
            end as name,
            row_number() over (partition by d.step_n, d.dependency order by d.n) as nth
        from tasker.template_dependencies(p_steps) d
    ) d
    left join (select distinct u.name from unnest(v_names) u(name)) s on s.name = d.name
    where d.name is null
       or s.name is null
       or d.name = v_names[d.step_n]
       or d.nth > 1
    order by d.step_n, d.n;

    select array_agg(e.parent), array_agg(e.child)
    into v_parents, v_children
    from tasker.graph_edges(p_steps) e;
    v_cycle := tasker.find_cycle(coalesce(cardinality(v_names), 0), v_parents, v_children);
    if v_cycle is not null then
        return query
        select
            format('/steps/%s/dependencies', v_cycle[2] - 1),
            'cycle',
            'cycle: ' || string_agg(left(v_names[c.c], 100), ' -> ' order by c.n) || case
                when cardinality(v_cycle) > 50
                    then format(' -> ... (%s steps)', cardinality(v_cycle) - 1)
                else ''
            end
        from unnest(v_cycle[1:50]) with ordinality c(c, n);
    end if;
end
$$;
comment on function tasker.check_graph(jsonb) is
    'Problems between the steps of a template: names, dependencies, cycles.';
