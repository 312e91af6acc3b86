-- for: orchestrator, operator, readonly
create function tasker.find_limits() returns text[]
language plpgsql stable parallel safe security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_limits  text[];
    -- The HTTP API sets this for a limited key. Anybody may set it, as it only takes away.
    v_call    text := nullif(current_setting('tasker.namespaces', true), '');
begin
    -- The grants are found by the login, whatever role it has taken on. A superuser is left out
    -- since it is a member of every role, and the owner since it reads the tables.
    select array_agg(distinct g.namespace)
    into v_limits
    from tasker.namespace_grants g
    join pg_roles r
      on r.rolname = g.role
    join pg_roles l
      on l.rolname = session_user
     and not l.rolsuper
    join pg_namespace n
      on n.nspname = 'tasker'
     and not pg_has_role(l.oid, n.nspowner, 'member')
    where pg_has_role(l.oid, r.oid, 'member');

    if v_call is null then
        return v_limits;
    end if;
    return array(
        select c.c
        from unnest(string_to_array(v_call, ',')) c(c)
        where v_limits is null
           or c.c = any (v_limits)
    );
end
$$;
comment on function tasker.find_limits() is
    'The answer of limits(), computed from the login''s grants and the limit of this call.';
