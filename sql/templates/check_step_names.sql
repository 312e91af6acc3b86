create function tasker.check_step_names(p_names text[])
returns table (path text, code text, message text)
language plpgsql stable as $$
begin
    return query
    select
        format('/steps/%s/name', d.n - 1),
        'duplicate_name',
        format('step "%s" is declared here and in /steps/%s', left(d.name, 100), d.first - 1)
    from (
        select
            u.name,
            u.n,
            min(u.n) over (partition by u.name) as first
        from unnest(p_names) with ordinality u(name, n)
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
        from unnest(p_names) with ordinality u(name, n)
        where u.name ~ '_[0-9]{3,}$'
    ) c
    where c.base in (select u.name from unnest(p_names) u(name))
    order by c.n;
end
$$;
comment on function tasker.check_step_names(text[]) is
    'Problems with step names that are repeated, or that look like names of instances.';
