-- for: operator
-- planner: jit = off
create function tasker.grant_namespace(
    p_role       text,
    p_namespace  text,
    p_reason     text default null,
    p_by         text default null
)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform tasker.refuse_limited();
    if not exists (select from pg_roles r where r.rolname = p_role) then
        raise exception 'there is no role "%"', coalesce(p_role, 'null')
            using
                errcode = 'TK054',
                hint = 'Create it first: create role. A grant to a role applies to all its '
                    'members.';
    elsif coalesce(p_namespace, '') !~ '^[a-z][a-z0-9_]*$' or length(p_namespace) > 33 then
        raise exception '"%" cannot be a namespace', coalesce(left(p_namespace, 100), 'null')
            using
                errcode = 'TK054',
                hint = 'Lower-case letters, digits, and _, at most 33; it need not exist yet.';
    end if;

    -- One grant runs at a time, because the first one changes a function.
    lock table tasker.namespace_grants in share row exclusive mode;

    -- A role whose last namespace was taken away has a row with an empty namespace; it is dropped.
    delete from tasker.namespace_grants g
    where g.role = p_role
      and g.namespace = '';

    insert into tasker.namespace_grants (role, namespace)
    values (p_role, p_namespace)
    on conflict do nothing;

    if found then
        perform tasker.log_operation(
            'grant', p_namespace, p_by, p_reason, jsonb_build_object('role', p_role)
        );
        return true;
    end if;
    return false;
end
$$;
comment on function tasker.grant_namespace(text, text, text, text) is
    'Limits a role, and its members, to the namespaces granted to it, including this one. '
    'Its other rights say what it may do there. Takes effect with its next call. '
    'False: it was granted already. Errors: TK052 by or reason, TK053 the caller is limited, TK054 '
    'no such role, or not a legal namespace name.';
