create function tasker.check_http_call(p_config jsonb, p_path text)
returns table (path text, code text, message text)
language sql stable as $$
    select
        p_path || '/method',
        'invalid_value',
        format(
            'method must be GET, HEAD, POST, PUT, PATCH, DELETE, or OPTIONS; it is %s',
            tasker.excerpt(p_config -> 'method'))
    where jsonb_typeof(p_config -> 'method') = 'string'
      and upper(p_config ->> 'method') not in (
          'GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'
      )
    union all
    select
        p_path || '/' || b.bodies[1],
        'invalid_value',
        format(
            'a %s has no body: leave %s out, or let method be POST',
            upper(p_config ->> 'method'), b.bodies[1])
    from (
        select array_agg(k order by n)
        from unnest('{json,form,text}'::text[]) with ordinality b(k, n)
        where p_config ? k
    ) b(bodies)
    where upper(p_config ->> 'method') in ('GET', 'HEAD')
      and cardinality(b.bodies) > 0
    union all
    select
        p_path || '/' || b.bodies[2],
        'invalid_value',
        format('a request has one body: leave %s or %s out', b.bodies[1], b.bodies[2])
    from (
        select array_agg(k order by n)
        from unnest('{json,form,text}'::text[]) with ordinality b(k, n)
        where p_config ? k
    ) b(bodies)
    where cardinality(b.bodies) > 1
    union all
    select
        p_path || '/response',
        'invalid_value',
        format(
            'response must be body, full, or text; it is %s',
            tasker.excerpt(p_config -> 'response'))
    where jsonb_typeof(p_config -> 'response') = 'string'
      and p_config ->> 'response' not in ('body', 'full', 'text')
    union all
    select
        p_path || '/ok',
        'invalid_value',
        'ok must have at least one status; leave it out for all from 200 to 299'
    where p_config -> 'ok' = '[]'
    union all
    select c.*
    from jsonb_array_elements(
        case jsonb_typeof(p_config -> 'ok') when 'array' then p_config -> 'ok' else '[]' end
    ) with ordinality o(status, n)
    cross join lateral tasker.check_number(
        o.status, format('%s/ok/%s', p_path, o.n - 1), 'a status', 200, 599, true) c
    union all
    select *
    from tasker.check_number(
        p_config -> 'timeout_seconds',
        p_path || '/timeout_seconds',
        'timeout_seconds', 0.001, 31536000, false)
$$;
comment on function tasker.check_http_call(jsonb, text) is
    'Problems with how the http handler calls an API: method, bodies, accepted answers.';
