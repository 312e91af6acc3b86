create function tasker.own_claims(p_claims jsonb) returns jsonb
language plpgsql stable as $$
declare
    v_limits  text[] := tasker.limits();
begin
    if v_limits is null or jsonb_typeof(p_claims) is distinct from 'array' then
        return p_claims;
    end if;

    -- A task of another namespace becomes one that does not exist.
    return coalesce((
        select jsonb_agg(
            case
                when jsonb_typeof(e.c) <> 'object' then e.c
                when exists (
                    select from tasker.tasks t
                    where t.task_id = tasker.to_uuid(e.c ->> 'task_id')
                      and t.namespace = any (v_limits)
                ) then e.c
                else e.c || '{"task_id": "00000000-0000-0000-0000-000000000000"}'
            end
            order by e.n
        )
        from jsonb_array_elements(p_claims) with ordinality e(c, n)
    ), '[]');
end
$$;
comment on function tasker.own_claims(jsonb) is
    'The claims, or results, that a worker names. For a limited worker, tasks of other namespaces '
    'do not exist.';
