-- for: operator
-- planner: jit = off
create function tasker.revoke_namespace(
    p_role       text,
    p_namespace  text default null,
    p_reason     text default null,
    p_by         text default null
)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform tasker.refuse_limited();
    lock table tasker.namespace_grants in share row exclusive mode;

    delete from tasker.namespace_grants g
    where g.role = p_role
      and (p_namespace is null or g.namespace = p_namespace and p_namespace <> '');

    if not found then
        return false;
    end if;

    -- A role without any row would have no limit, so a row with an empty namespace stays.
    if p_namespace is not null
      and not exists (select from tasker.namespace_grants g where g.role = p_role) then
        insert into tasker.namespace_grants (role, namespace) values (p_role, '');
    end if;

    perform tasker.log_operation(
        'revoke', p_namespace, p_by, p_reason, jsonb_build_object('role', p_role)
    );
    return true;
end
$$;
comment on function tasker.revoke_namespace(text, text, text, text) is
    'Takes a namespace away from a limited role; after its last one, the role may use no '
    'namespace. p_namespace null lifts the limit: the role may use every namespace again. '
    'False: there was nothing to take away. Errors: TK052 by or reason, TK053 the caller is '
    'limited.';
