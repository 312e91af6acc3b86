create function tasker.plain_mapping(p_task_id uuid, p_mapping jsonb) returns text
language plpgsql stable as $$
declare
    -- With 16 paths at most, what is made stays far below what PostgreSQL can hold.
    c_context  constant int := 1048576;
    c_result   constant int := 65536;
begin
    return (
        select (p_mapping #>> '{pieces,0}') || string_agg(
            coalesce(found.value::text, 'null') || (p_mapping -> 'pieces' ->> path.n::int),
            ''
            order by path.n)
        from (
            -- Added to nothing, a large document is read from its table once.
            select case when p_mapping ? 'context' then t.context || '{}' end as context
            from tasker.tasks t
            where t.task_id = p_task_id
              and t.context_bytes <= c_context
            offset 0
        ) task
        cross join lateral (
            select
                p.n,
                p.path ? 'required' as required,
                p.path ->> 'part' as part,
                (p.path ->> 'keys')::text[] as keys
            from jsonb_array_elements(p_mapping -> 'paths') with ordinality p(path, n)
        ) path
        left join lateral (
            select s.result, coalesce(s.result_bytes <= c_result, s.result is null) as fits
            from tasker.steps s
            where path.part <> 'context'
              and s.task_id = p_task_id
              and s.name = path.keys[1]
              and s.satisfied
        ) parent on true
        cross join lateral (
            select case
                when path.part = 'context' then task.context #> path.keys
                when parent.fits then parent.result #> path.keys[2:]
            end as value
        ) found
        having not bool_or(found.value is null and path.required)
           and bool_and(parent.fits) is not false
    );
end
$$;
comment on function tasker.plain_mapping(uuid, jsonb) is
    'What mapped_value makes of a mapping whose paths have only keys, as text, in one query: the '
    'usual case. Null: there is too much data for that, or a required value is missing.';
