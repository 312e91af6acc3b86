create function tasker.check_handler(p_handler jsonb, p_path text)
returns table (path text, code text, message text)
language sql stable as $$
    select * from tasker.check_type(p_handler, p_path, 'handler', '{object}')
    union all
    select * from tasker.check_keys(p_handler, p_path, '{callable,method,config}', '{callable}')
    union all
    select *
    from tasker.check_type(p_handler -> 'config', p_path || '/config', 'config', '{object}')
    union all
    select
        p_path || '/callable',
        'invalid_name',
        format(
            'callable must be the name under which a handler is registered: lower-case letters, '
            'digits, _ and dots; it is %s',
            tasker.excerpt(p_handler -> 'callable'))
    where jsonb_typeof(p_handler) = 'object'
      and p_handler ? 'callable'
      and not (
          jsonb_typeof(p_handler -> 'callable') = 'string'
          and p_handler ->> 'callable' ~ '^[a-z][a-z0-9_]*([.][a-z][a-z0-9_]*)*$'
      )
    union all
    select p_path || '/callable', 'invalid_name', 'callable must have at most 200 characters'
    where length(p_handler ->> 'callable') > 200
    union all
    select * from tasker.check_name(p_handler -> 'method', p_path || '/method', 'method', 63)
    union all
    select
        p_path,
        'missing_config',
        format('the %s handler needs config.%s, a string', n.callable, n.needs)
    from (values ('sql', 'function'), ('http', 'url')) n(callable, needs)
    where jsonb_typeof(p_handler) = 'object'
      and p_handler -> 'callable' = to_jsonb(n.callable)
      and jsonb_typeof(p_handler -> 'config' -> n.needs) is distinct from 'string'
    union all
    select c.*
    from tasker.check_http(p_handler -> 'config', p_path || '/config') c
    where jsonb_typeof(p_handler) = 'object'
      and p_handler -> 'callable' = '"http"'
$$;
comment on function tasker.check_handler(jsonb, text) is
    'Problems with the handler of one step.';
