create function tasker.check_dependencies(p_steps jsonb, p_names text[])
returns table (path text, code text, message text)
language plpgsql stable as $$
begin
    -- A cycle through other steps is for check_cycle to find.
    return query
    select
        format('/steps/%s/dependencies/%s', d.step_n - 1, d.n - 1),
        case
            when d.name is null then 'invalid_type'
            when s.name is null then 'unknown_dependency'
            when d.name = p_names[d.step_n] then 'cycle'
            else 'duplicate_dependency'
        end,
        case
            when d.name is null
                then 'a dependency must be the name of a step'
            when s.name is null
                then format('there is no step "%s" to depend on', left(d.name, 100))
            when d.name = p_names[d.step_n]
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
    left join (select distinct u.name from unnest(p_names) u(name)) s on s.name = d.name
    where d.name is null
       or s.name is null
       or d.name = p_names[d.step_n]
       or d.nth > 1
    order by d.step_n, d.n;
end
$$;
comment on function tasker.check_dependencies(jsonb, text[]) is
    'Dependencies that name an unknown step, the step itself, or a step twice. '
    'p_names: the names of the steps.';
