create function tasker.decision_depths(p_steps jsonb) returns table (n bigint, name text, depth int)
language sql stable set search_path = '' as $$
    with recursive steps as (
        select e.n, e.s ->> 'name' as name, (coalesce(e.s ->> 'type', '') = 'decision')::int as decides from jsonb_array_elements(p_steps) with ordinality e(s, n)
    ), edges as (
        select d.dependency #>> '{}' as parent, d.step_n as child from tasker.template_dependencies(p_steps) d
    ), paths as (
        select s.n, s.decides as depth from steps s where s.decides = 1
        union
        -- Each step and depth once, however many ways lead there.
        select c.n, p.depth + c.decides from paths p join steps s on s.n = p.n join edges e on e.parent = s.name join steps c on c.n = e.child
    )
    select s.n, s.name, max(p.depth) from paths p join steps s on s.n = p.n where s.decides = 1 group by s.n, s.name
$$;
comment on function tasker.decision_depths(jsonb) is 'Of each decision in the steps of a valid template how many decisions stand on the longest path to it, itself included.';
