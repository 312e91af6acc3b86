create function tasker.check_dead_letter_filter(p_filter jsonb) returns void
language plpgsql stable as $$
declare
    v_problem  text;
begin
    if coalesce(jsonb_typeof(p_filter), 'null') <> 'object' then
        v_problem := 'a filter must be a JSON object; it is '
            || coalesce(left(p_filter::text, 100), 'null');
    elsif p_filter = '{}' then
        v_problem := 'an empty filter would match every dead letter';
    else
        -- One message lists everything that is wrong.
        select string_agg(p.problem, '; ' order by f.key)
        into v_problem
        from jsonb_each(p_filter) f
        cross join lateral (
            select case
                when f.key in ('reason', 'status', 'namespace', 'name', 'step', 'queue') then
                    case
                        when jsonb_typeof(f.value) <> 'string'
                        then format('"%s" must be a string', f.key)
                    end
                when f.key in ('created_after', 'created_before') then
                    case
                        when jsonb_typeof(f.value) <> 'string'
                          or tasker.to_time(f.value #>> '{}') is null
                        then format('"%s" must be a time such as 2026-01-31T09:00:00Z', f.key)
                    end
                else format('unknown key "%s"', f.key)
            end as problem
        ) p;
    end if;

    if v_problem is not null then
        raise exception '%', v_problem
            using errcode = 'TK030',
                  hint = 'Name at least one of reason, status, namespace, name, step, queue, '
                         'created_after, created_before.';
    end if;
end
$$;
comment on function tasker.check_dead_letter_filter(jsonb) is
    'Refuses a filter of dead letters that is empty, has unknown keys, '
    'or values of the wrong type. Error: TK030.';
