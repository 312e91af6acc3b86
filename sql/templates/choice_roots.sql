create function tasker.choice_roots(
    p_steps       jsonb,
    out types     text[],
    out may_lack  boolean[],
    out owners    int[],
    out sets      text[]
)
language sql immutable as $$
    select
        array_agg(s.type order by s.n),
        array_agg(s.may_lack order by s.n),
        array_agg(case when s.may_lack then s.n else s.count + 1 end order by s.n),
        array_agg(case when s.may_lack then array[s.n]::text end order by s.n) || '{}'::text
    from (
        select
            e.n,
            count(*) over () as count,
            coalesce(e.s ->> 'type', 'standard') as type,
            e.s ?| '{when,otherwise}' and not e.s ? 'when_false' as may_lack
        from jsonb_array_elements(p_steps) with ordinality e(s, n)
    ) s
$$;
comment on function tasker.choice_roots(jsonb) is
    'What choice_sets begins with, for each step by its place: its type; may_lack: a condition may '
    'leave it out; owners, sets: those of the steps with a condition.';
