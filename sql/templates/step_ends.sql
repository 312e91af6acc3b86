create function tasker.step_ends(p_steps jsonb)
returns table (n bigint, is_leaf boolean, may_skip boolean, handled boolean, reveals boolean)
language sql immutable as $$
    select
        s.n,
        s.is_leaf,
        s.may_skip,
        s.handled,
        s.handled or s.may_skip or s.is_looked_at
    from (
        select
            e.n,
            count(c.step_n) = 0 as is_leaf,
            coalesce(e.s -> 'may_skip' = 'true', false) as may_skip,
            coalesce(e.s ? 'on_error' or bool_or(c.kind <> 'complete'), false) as handled,
            coalesce(
                bool_or(p_steps -> (c.step_n - 1)::int ?| '{when,otherwise}'),
                false) as is_looked_at
        from jsonb_array_elements(p_steps) with ordinality e(s, n)
        left join tasker.template_dependencies(p_steps) c
          on c.dependency = e.s -> 'name'
        group by e.n, e.s
    ) s
$$;
comment on function tasker.step_ends(jsonb) is
    'What follows the end of each step, by its place from 1: is_leaf: nothing; may_skip; handled: '
    'the template says what follows when it fails; reveals: steps may come into being.';
