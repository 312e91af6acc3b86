-- for: operator, readonly
create function tasker.refuse_limited()
returns boolean
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_limits  text[] := tasker.limits();
begin
    if v_limits is not null then
        raise exception
            'this is not available to a caller that is limited to namespaces (%)',
            coalesce(nullif(array_to_string(array_remove(v_limits, ''), ', '), ''), 'none')
            using errcode = 'TK053',
                  hint = 'Functions and views show the rows of its namespaces; tables, and '
                         'anything that concerns all namespaces, are for logins and keys without a '
                         'limit.';
    end if;
    return true;
end
$$;
comment on function tasker.refuse_limited() is
    'Raises TK053 for a caller that is limited to namespaces, which may not use the tables or '
    'anything that concerns all namespaces.';
