create function tasker.check_events(p_events jsonb, p_path text)
returns table (path text, code text, message text)
language sql stable as $$
    select * from tasker.check_type(p_events, p_path, 'publishes_events', '{array}')
    union all
    select c.*
    from jsonb_array_elements(
        case jsonb_typeof(p_events) when 'array' then p_events else '[]' end
    ) with ordinality e(e, n)
    cross join lateral (select format('%s/%s', p_path, e.n - 1) as at) a
    cross join lateral (
        select t.* from tasker.check_type(e.e, a.at, 'an event', '{object}') t
        union all
        select k.*
        from tasker.check_keys(e.e, a.at, '{name,version,delivery,condition,schema}', '{name}') k
        union all
        select
            a.at || '/name',
            'invalid_name',
            format(
                'the name of an event must be words of lower-case letters, digits, and _ '
                'with dots between them, such as payment.processed, at most 100 characters; '
                'it is %s',
                tasker.excerpt(e.e -> 'name'))
        where e.e ? 'name'
          and jsonb_typeof(e.e) = 'object'
          and not (
              jsonb_typeof(e.e -> 'name') = 'string'
              and e.e ->> 'name' ~ '^[a-z][a-z0-9_]*([.][a-z][a-z0-9_]*)*$'
              and length(e.e ->> 'name') <= 100
          )
        union all
        select
            a.at || '/version',
            'invalid_version',
            format(
                'version must be a string of 1 to 64 characters, in quotes such as "1.0"; it is %s',
                tasker.excerpt(e.e -> 'version'))
        where e.e ? 'version'
          and jsonb_typeof(e.e) = 'object'
          and not (
              jsonb_typeof(e.e -> 'version') = 'string'
              and length(e.e ->> 'version') between 1 and 64
          )
        union all
        select
            a.at || '/delivery',
            'invalid_value',
            format(
                'delivery must be durable, fast, or broadcast; it is %s',
                tasker.excerpt(e.e -> 'delivery'))
        where e.e -> 'delivery' not in ('"durable"', '"fast"', '"broadcast"')
        union all
        select
            a.at || '/condition',
            'invalid_value',
            format(
                'condition must be success, failure, always, or retry; it is %s',
                tasker.excerpt(e.e -> 'condition'))
        where e.e -> 'condition' not in ('"success"', '"failure"', '"always"', '"retry"')
        union all
        select t.*
        from tasker.check_type(e.e -> 'schema', a.at || '/schema', 'schema', '{object,boolean}') t
    ) c
    union all
    select
        format('%s/%s/name', p_path, d.n - 1),
        'duplicate_event',
        format('event "%s" is declared %s times; once is enough for each step', d.name, d.times)
    from (
        select
            left(e.e ->> 'name', 120) as name,
            max(e.n) as n,
            count(*) as times
        from jsonb_array_elements(
            case jsonb_typeof(p_events) when 'array' then p_events else '[]' end
        ) with ordinality e(e, n)
        where jsonb_typeof(e.e) = 'object'
          and jsonb_typeof(e.e -> 'name') = 'string'
        group by e.e ->> 'name'
        having count(*) > 1
    ) d
$$;
comment on function tasker.check_events(jsonb, text) is
    'Problems with the events that a step of a template publishes. '
    'Only programs can tell whether a schema is a JSON Schema.';
