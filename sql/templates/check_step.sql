create function tasker.check_step(p_step jsonb, p_path text)
returns table (path text, code text, message text)
language sql stable as $$
    select * from tasker.check_type(p_step, p_path, 'a step', '{object}')
    union all
    select *
    from tasker.check_keys(
        p_step,
        p_path,
        '{name,description,type,dependencies,when,otherwise,when_false,may_skip,on_error,'
        'inputs,inputs_required,handler,failure_strategy,retry,timeout_seconds,lease_seconds,'
        'publishes_events}',
        '{name,handler}')
    union all
    select * from tasker.check_name(p_step -> 'name', p_path || '/name', 'the name of a step', 63)
    union all
    select *
    from tasker.check_type(
        p_step -> 'description', p_path || '/description', 'description', '{string}')
    union all
    select *
    from tasker.check_hidden(
        p_step -> 'description', p_path || '/description', 'description', false)
    union all
    select
        p_path || '/type',
        'invalid_value',
        format(
            'type must be standard, decision, deferred, batchable, or batch_worker; it is %s',
            tasker.excerpt(p_step -> 'type'))
    where p_step -> 'type' not in (
        '"standard"', '"decision"', '"deferred"', '"batchable"', '"batch_worker"'
    )
    union all
    select
        p_path || '/failure_strategy',
        'invalid_value',
        case
            when p_step -> 'type' is distinct from '"batch_worker"'
                then 'failure_strategy belongs to steps of type batch_worker'
            else format(
                'failure_strategy must be fail_fast or continue_on_failure; it is %s',
                tasker.excerpt(p_step -> 'failure_strategy'))
        end
    where jsonb_typeof(p_step) = 'object'
      and p_step ? 'failure_strategy'
      and (
          p_step -> 'type' is distinct from '"batch_worker"'
          or p_step -> 'failure_strategy' not in ('"fail_fast"', '"continue_on_failure"')
      )
    union all
    select *
    from tasker.check_type(
        p_step -> 'dependencies', p_path || '/dependencies', 'dependencies', '{array}')
    union all
    select * from tasker.check_handler(p_step -> 'handler', p_path || '/handler')
    union all
    select c.*
    from tasker.check_http_api(p_step, p_path || '/handler/config') c
    where p_step #> '{handler,callable}' = '"http"'
      and jsonb_typeof(p_step #> '{handler,config}') = 'object'
    union all
    select *
    from tasker.check_number(
        p_step -> 'timeout_seconds',
        p_path || '/timeout_seconds',
        'timeout_seconds', 0.001, 31536000, false)
    union all
    select *
    from tasker.check_number(
        p_step -> 'lease_seconds',
        p_path || '/lease_seconds',
        'lease_seconds', 1, 86400, true)
    union all
    select * from tasker.check_events(p_step -> 'publishes_events', p_path || '/publishes_events')
    union all
    select * from tasker.check_retry(p_step -> 'retry', p_path || '/retry')
$$;
comment on function tasker.check_step(jsonb, text) is
    'Problems within one step of a template, except its dependencies.';
