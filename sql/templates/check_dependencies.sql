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
            when d.problem is not null then 'invalid_value'
            when s.name is null then 'unknown_dependency'
            when d.name = p_names[d.step_n] then 'cycle'
            else 'duplicate_dependency'
        end,
        case
            when d.name is null
                then 'a dependency is the name of a step, or {step: NAME, on: failed}'
            when d.problem is not null then d.problem
            when s.name is null
                then format('there is no step "%s" to depend on', left(d.name, 100))
            when d.name = p_names[d.step_n]
                then format('cycle: %s -> %s', left(d.name, 100), left(d.name, 100))
            else format(
                '"%s" is named twice: to go on after both ends of a step, say on: ended',
                left(d.name, 100))
        end
    from (
        select
            d.step_n,
            d.n,
            case
                when jsonb_typeof(d.dependency) = 'string' then d.dependency #>> '{}'
            end as name,
            row_number() over (partition by d.step_n, d.dependency order by d.n) as nth,
            case
                when d.kind not in ('complete', 'failed', 'ended')
                  or d.given ? 'on' and jsonb_typeof(d.given -> 'on') <> 'string'
                    then format(
                        'on is complete, failed, or ended; it is %s',
                        tasker.excerpt(d.given -> 'on'))
                when jsonb_typeof(d.given) = 'object' and d.given - '{step,on}'::text[] <> '{}'
                    then format(
                        'a dependency has the keys step and on; this one is %s',
                        tasker.excerpt(d.given))
                when d.kind <> 'complete'
                 and (p_steps -> (array_position(p_names, d.dependency #>> '{}') - 1)) ->> 'type'
                    = 'batch_worker'
                    then 'a batch has no end that failed: let it go on by failure_strategy: '
                        'continue_on_failure, and look at $.parents.<batch>.failed'
                when d.kind <> 'complete'
                 and (p_steps -> (d.step_n - 1)::int) ->> 'type' = 'batch_worker'
                    then 'a batch_worker needs the cursors of a batchable that is complete'
            end as problem
        from tasker.template_dependencies(p_steps) d
    ) d
    left join (select distinct u.name from unnest(p_names) u(name)) s on s.name = d.name
    where d.name is null
       or d.problem is not null
       or s.name is null
       or d.name = p_names[d.step_n]
       or d.nth > 1
    order by d.step_n, d.n;
end
$$;
comment on function tasker.check_dependencies(jsonb, text[]) is
    'Dependencies that name an unknown step, the step itself, or a step twice. '
    'p_names: the names of the steps.';
