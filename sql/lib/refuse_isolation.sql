create function tasker.refuse_isolation()
returns void
language plpgsql stable as $$
begin
    -- What others commit meanwhile must be visible: otherwise steps are counted, leases are held,
    -- and tasks are found stale that are no longer so.
    if pg_catalog.current_setting('transaction_isolation') <> 'read committed' then
        raise exception
            'workers and orchestrators need READ COMMITTED; this transaction is %',
            upper(pg_catalog.current_setting('transaction_isolation'))
            using errcode = 'TK017',
                  hint = 'begin isolation level read committed, '
                         'or set default_transaction_isolation for your role';
    end if;
end
$$;
comment on function tasker.refuse_isolation() is
    'Raises TK017 in an isolation other than READ COMMITTED. '
    'Every function of workers and orchestrators that writes calls it first.';
