create function tasker.graph_edges(p_steps jsonb)
returns table (parent int, child int)
language sql immutable as $$
    select distinct p.n::int, d.step_n::int
    from tasker.template_dependencies(p_steps) d
    join (
        select e.s ->> 'name' as name, min(e.n) as n
        from jsonb_array_elements(p_steps) with ordinality e(s, n)
        where jsonb_typeof(e.s) = 'object'
          and jsonb_typeof(e.s -> 'name') = 'string'
        group by 1
    ) p on p.name = d.dependency #>> '{}'
    where jsonb_typeof(d.dependency) = 'string'
      and p.n <> d.step_n
$$;
comment on function tasker.graph_edges(jsonb) is
    'Which step (by its place from 1) depends on which other one of the list.';
