create function tasker.step_sisters(p_steps jsonb)
returns table (n bigint, kind text, sisters text[], others text[])
language sql immutable as $$
    with step as (
        select
            e.n,
            e.s ->> 'name' as name,
            case when e.s ? 'when' then 'when' else 'otherwise' end as kind,
            e.s -> 'type' is not distinct from '"deferred"' as deferred,
            array(
                select distinct d.kind || ' ' || (d.dependency #>> '{}')
                from tasker.template_dependencies(jsonb_build_array(e.s)) d
                order by 1
            ) as set
        from jsonb_array_elements(p_steps) with ordinality e(s, n)
        where jsonb_typeof(e.s) = 'object'
          and e.s ?| '{when,otherwise}'
    )
    select
        s.n,
        s.kind,
        array_agg(s.name) filter (where s.kind = 'when') over w,
        array_agg(s.name) filter (where s.kind = 'otherwise') over w
    from step s
    window w as (
        partition by s.deferred, s.set
        order by s.n
        rows between unbounded preceding and unbounded following
    )
$$;
comment on function tasker.step_sisters(jsonb) is
    'The steps with when or otherwise, each by its place from 1, with the names of those of both '
    'kinds that have the same dependencies: sisters with when, others with otherwise.';
