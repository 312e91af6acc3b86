create function tasker.condition_warnings(p_steps jsonb)
returns table (path text, code text, message text)
language sql stable as $$
    select
        format('/steps/%s/when', e.n - 1),
        'missing_is_false',
        format(
            'where there is nothing at %1$s, %1$s != ... is false: to take that as different, '
            'write !exists(%1$s) || %1$s != ...',
            w.shown)
    from jsonb_array_elements(p_steps) with ordinality e(s, n)
    cross join lateral (
        select
            min(u.path) as shown
        from (
            select
                r.paths,
                regexp_replace(r.test, '[.]"([A-Za-z_][A-Za-z0-9_]*)"', '.\1', 'g') as test
            from tasker.read_condition(e.s ->> 'when') r
        ) c
        cross join lateral unnest(c.paths) u(path)
        cross join lateral (
            select regexp_replace(u.path, '([^A-Za-z0-9_ ])', '\\\1', 'g') as quoted
        ) v
        -- The path stands beside !=, and nothing asks whether it is there.
        where u.path not like '$.task%'
          and c.test ~ (
              '!= ' || v.quoted || '($|[ )])|' || v.quoted || '([.](type|double)\(\))? !=')
          and position('exists (' || u.path || ')' in c.test) = 0
    ) w
    where e.s ? 'when'
      and e.s ->> 'when' like '%!=%'
      and w.shown is not null
    union all
    select
        format('/steps/%s/dependencies', d.step_n - 1),
        'all_must_fail',
        format(
            'step "%s" exists only if all of %s fail: make it deferred to run after any of them',
            e.s ->> 'name',
            left(string_agg(format('"%s"', d.dependency #>> '{}'), ', ' order by d.n), 1000))
    from tasker.template_dependencies(p_steps) d
    join jsonb_array_elements(p_steps) with ordinality e(s, n) on e.n = d.step_n
    where d.kind = 'failed'
      and e.s ->> 'type' is distinct from 'deferred'
    group by d.step_n, e.s
    having count(*) > 1
$$;
comment on function tasker.condition_warnings(jsonb) is
    'Conditions and edges of a valid template that are probably meant otherwise: a != b is false '
    'where there is no a; a step after two failures waits for both.';
