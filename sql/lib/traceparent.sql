create function tasker.traceparent(p_text text)
returns text
language sql immutable parallel safe as $$
    -- A later version may have more fields after these; the one that is passed on has version 00.
    select case
        when m.p is not null
         and m.p[1] <> 'ff'
         and (m.p[1] <> '00' or m.p[5] = '')
         and m.p[2] !~ '^0+$'
         and m.p[3] !~ '^0+$' then format('00-%s-%s-%s', m.p[2], m.p[3], m.p[4])
    end
    from (
        select regexp_match(
            left(p_text, 500),
            '^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(|-.*)$'
        ) as p
    ) m
$$;
comment on function tasker.traceparent(text) is
    'A W3C traceparent as it is passed on, in version 00; null for an invalid one.';
