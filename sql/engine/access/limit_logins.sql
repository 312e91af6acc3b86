create function tasker.limit_logins() returns void
language plpgsql volatile as $$
begin
    execute 'create or replace function tasker.limits() returns text[] '
        'language sql stable parallel safe return '
        || case
            when exists (select from tasker.namespace_grants) then 'tasker.find_limits()'
            else $q$case
                when coalesce(current_setting('tasker.namespaces', true), '') = '' then null
                else tasker.find_limits()
            end$q$
        end;
end
$$;
comment on function tasker.limit_logins() is
    'Makes limits() read the grants only if there are any.';
