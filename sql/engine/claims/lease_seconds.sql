create function tasker.lease_seconds(p_lease interval) returns int
language plpgsql immutable parallel safe as $$
begin
    if p_lease is null or p_lease < interval '1 s' or p_lease > interval '1 day' then
        raise exception 'a lease must be from 1 second to 1 day; it is %',
                coalesce(p_lease::text, 'null')
            using errcode = 'TK007',
                  hint = 'Long steps need no long lease: '
                         'extend it with tasker.extend_leases while they run.';
    end if;
    return ceil(extract(epoch from p_lease));
end
$$;
comment on function tasker.lease_seconds(interval) is
    'A lease in whole seconds, as pgmq wants it. Error: TK007 out of range.';
