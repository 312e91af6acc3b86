create function tasker.check_filter(p_filter jsonb) returns void
language plpgsql stable as $$
declare
    v_problem  text;
begin
    if coalesce(jsonb_typeof(p_filter), 'null') <> 'object' then
        v_problem := 'a filter must be a JSON object; it is ' || tasker.excerpt(p_filter);
    elsif pg_column_size(p_filter) > 1000000 then
        v_problem := format(
            'a filter may have 1,000,000 bytes; this one has %s',
            pg_column_size(p_filter)
        );
    elsif p_filter = '{}' then
        v_problem := 'an empty filter would match every task';
    else
        -- One message lists everything that is wrong.
        select left(string_agg(p.problem, '; ' order by f.key), 2000)
        into v_problem
        from jsonb_each(p_filter) f
        cross join lateral (
            select case
                when f.key in ('namespace', 'name', 'version', 'error_code', 'idempotency_key') then
                    case
                        when jsonb_typeof(f.value) <> 'string'
                        then format('"%s" must be a string', f.key)
                    end
                when f.key = 'id_prefix' then
                    case
                        when jsonb_typeof(f.value) <> 'string'
                          or tasker.first_id(f.value #>> '{}', '0') is null
                        then format('"%s" must be the beginning of a uuid', f.key)
                    end
                when f.key = 'correlation_id' then
                    case
                        when tasker.to_uuid(f.value #>> '{}') is null
                        then format('"%s" must be a uuid', f.key)
                    end
                when f.key in ('created_after', 'created_before') then
                    case
                        when jsonb_typeof(f.value) <> 'string'
                          or tasker.to_time(f.value #>> '{}') is null
                        then format('"%s" must be a time such as 2026-01-31T09:00:00Z', f.key)
                    end
                when f.key = 'states' then
                    case
                        when jsonb_typeof(f.value) <> 'array'
                          or not f.value <@ to_jsonb(enum_range(null::tasker.task_state))
                        then format('"%s" must be an array of task states', f.key)
                    end
                when f.key = 'task_ids' then
                    case
                        when jsonb_typeof(f.value) <> 'array'
                          or exists (
                            select from jsonb_array_elements(
                                case jsonb_typeof(f.value) when 'array' then f.value else '[]' end
                            ) e(id)
                            where tasker.to_uuid(e.id #>> '{}') is null
                          )
                        then format('"%s" must be an array of uuids', f.key)
                    end
                else format('unknown key "%s"', left(f.key, 100))
            end as problem
        ) p;
    end if;

    if v_problem is not null then
        raise exception '%', v_problem
            using errcode = 'TK030',
                  hint = 'Name at least one of namespace, name, version, states, task_ids, '
                         'correlation_id, created_after, created_before, error_code, '
                         'idempotency_key, id_prefix.';
    end if;
end
$$;
comment on function tasker.check_filter(jsonb) is
    'Refuses a filter of tasks that is empty, has unknown keys, or values of the wrong type; with '
    'all problems in one message. Error: TK030.';
