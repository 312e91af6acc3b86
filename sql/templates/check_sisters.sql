create function tasker.check_sisters(p_steps jsonb)
returns table (path text, code text, message text)
language sql immutable as $$
    select
        format('/steps/%s/otherwise', s.n - 1),
        'invalid_value',
        case
            when s.sisters is null then
                'otherwise needs another step with when and the same dependencies, both of them '
                'deferred or neither'
            else format(
                'of the steps with the same dependencies one may have otherwise; here are %s',
                left(array_to_string(s.others, ', '), 500))
        end
    from tasker.step_sisters(p_steps) s
    where s.kind = 'otherwise'
      and p_steps -> (s.n - 1)::int -> 'otherwise' = 'true'
      and (s.sisters is null or cardinality(s.others) > 1)
    order by s.n
$$;
comment on function tasker.check_sisters(jsonb) is
    'Steps with otherwise that no step with when stands beside, or another with otherwise.';
