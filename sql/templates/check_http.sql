-- requires: templates/pointer.sql
create function tasker.check_http(p_config jsonb, p_path text)
returns table (path text, code text, message text)
language plpgsql stable as $$
declare
    v_headers jsonb := case when jsonb_typeof(p_config) = 'object' then p_config -> 'headers' end;
begin
    if v_headers is null or jsonb_typeof(v_headers) <> 'object' then
        return;
    end if;

    -- With these headers a request would go to another host than its URL says,
    -- or end elsewhere than where it says.
    return query
    select
        tasker.pointer(p_path || '/headers', h.key),
        'reserved_header',
        format('the http handler alone sets %s: leave it out', left(h.key, 100))
    from jsonb_each(v_headers) h
    where lower(btrim(h.key)) in (
        'host', 'content-length', 'transfer-encoding', 'connection', 'keep-alive',
        'proxy-authorization', 'proxy-connection', 'te', 'trailer', 'upgrade'
    );

    -- With api: true there is more to find, see check_http_api.
    if p_config -> 'api' = 'true' then
        return;
    end if;

    return query
    select
        tasker.pointer(p_path || '/headers', h.key),
        'invalid_secret',
        format(
            '%s is not a valid secret: write {secret:NAME} with a name of A-Z, 0-9, and _ that '
            'does not end in _HOSTS',
            left('{secret:' || split_part(s.rest, '}', 1), 100))
    from
        jsonb_each_text(v_headers) h,
        regexp_split_to_table(h.value, '[{]secret:') with ordinality s (rest, n)
    where s.n > 1
      and (
          s.rest !~ '^[A-Z][A-Z0-9_]{0,63}[}]'
          or split_part(s.rest, '}', 1) ~ '_HOSTS$'
      );
end
$$;
comment on function tasker.check_http(jsonb, text) is
    'Problems with the configuration of a step of the http handler: headers that a template may '
    'not set, invalid names of secrets.';
