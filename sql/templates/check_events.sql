create function tasker.check_events(p_events jsonb, p_path text)
returns table (path text, code text, message text)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    if jsonb_typeof(p_events) is distinct from 'array' then
        return query select * from tasker.check_type(p_events, p_path, 'publishes_events', '{array}');
        return;
    end if;
    return query
        select c.*
          from jsonb_array_elements(p_events) with ordinality e(e, n)
         cross join lateral (select format('%s/%s', p_path, e.n - 1) as at) a
         cross join lateral (
            select t.* from tasker.check_type(e.e, a.at, 'an event', '{object}') t
            union all
            select k.* from tasker.check_keys(case when jsonb_typeof(e.e) = 'object' then e.e else '{"name": ""}' end, a.at,
                                              '{name,version,delivery,condition,schema}', '{name}') k
            union all
            select a.at || '/name', 'invalid_name',
                   format('the name of an event must be words of lower-case letters, digits, and _ with dots between them, such as payment.processed, at most 100 characters; it is %s', left((e.e -> 'name')::text, 120))
             where e.e ? 'name' and jsonb_typeof(e.e) = 'object'
               and not (jsonb_typeof(e.e -> 'name') = 'string' and e.e ->> 'name' ~ '^[a-z][a-z0-9_]*([.][a-z][a-z0-9_]*)*$' and length(e.e ->> 'name') <= 100)
            union all
            select a.at || '/version', 'invalid_version', format('version must be a string of 1 to 64 characters, in quotes such as "1.0"; it is %s', left((e.e -> 'version')::text, 100))
             where e.e ? 'version' and jsonb_typeof(e.e) = 'object'
               and not (jsonb_typeof(e.e -> 'version') = 'string' and length(e.e ->> 'version') between 1 and 64)
            union all
            select a.at || '/delivery', 'invalid_value', format('delivery must be durable, fast, or broadcast; it is %s', left((e.e -> 'delivery')::text, 100))
             where e.e -> 'delivery' not in ('"durable"', '"fast"', '"broadcast"')
            union all
            select a.at || '/condition', 'invalid_value', format('condition must be success, failure, always, or retry; it is %s', left((e.e -> 'condition')::text, 100))
             where e.e -> 'condition' not in ('"success"', '"failure"', '"always"', '"retry"')
            union all
            select t.* from tasker.check_type(e.e -> 'schema', a.at || '/schema', 'schema', '{object,boolean}') t) c
         order by e.n;
    return query
        select format('%s/%s/name', p_path, max(e.n) - 1), 'duplicate_event', format('event "%s" is declared %s times; once is enough for each step', e.e ->> 'name', count(*))
          from jsonb_array_elements(p_events) with ordinality e(e, n)
         where jsonb_typeof(e.e) = 'object' and jsonb_typeof(e.e -> 'name') = 'string'
         group by e.e ->> 'name' having count(*) > 1;
end
$$;
comment on function tasker.check_events(jsonb, text) is 'Problems with the events that a step of a template publishes. Whether a schema is a JSON Schema only programs can tell.';
