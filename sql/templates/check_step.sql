create function tasker.check_step(p_step jsonb, p_path text)
returns table (path text, code text, message text)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_retry jsonb := p_step -> 'retry';
    v_retry_path text := p_path || '/retry';
begin
    if jsonb_typeof(p_step) <> 'object' then
        return query select * from tasker.check_type(p_step, p_path, 'a step', '{object}');
        return;
    end if;
    return query select * from tasker.check_keys(p_step, p_path,
        '{name,description,type,dependencies,handler,failure_strategy,retry,timeout_seconds,lease_seconds,publishes_events}', '{name,handler}');
    return query select * from tasker.check_name(p_step -> 'name', p_path || '/name', 'the name of a step', 63);
    return query select * from tasker.check_type(p_step -> 'description', p_path || '/description', 'description', '{string}');
    return query select p_path || '/type', 'invalid_value',
        format('type must be standard, decision, deferred, batchable, or batch_worker; it is %s', left((p_step -> 'type')::text, 100))
        where p_step -> 'type' not in ('"standard"', '"decision"', '"deferred"', '"batchable"', '"batch_worker"');
    return query select p_path || '/failure_strategy', 'invalid_value',
        case when p_step -> 'type' is distinct from '"batch_worker"' then 'failure_strategy belongs to steps of type batch_worker'
             else format('failure_strategy must be fail_fast or continue_on_failure; it is %s', left((p_step -> 'failure_strategy')::text, 100)) end
        where p_step ? 'failure_strategy'
          and (p_step -> 'type' is distinct from '"batch_worker"' or p_step -> 'failure_strategy' not in ('"fail_fast"', '"continue_on_failure"'));
    return query select * from tasker.check_type(p_step -> 'dependencies', p_path || '/dependencies', 'dependencies', '{array}');
    return query select * from tasker.check_handler(p_step -> 'handler', p_path || '/handler');
    return query select * from tasker.check_number(p_step -> 'timeout_seconds', p_path || '/timeout_seconds', 'timeout_seconds', 0.001, 31536000, false);
    return query select * from tasker.check_number(p_step -> 'lease_seconds', p_path || '/lease_seconds', 'lease_seconds', 1, 86400, true);
    return query select * from tasker.check_events(p_step -> 'publishes_events', p_path || '/publishes_events');
    if v_retry is null then
        return;
    elsif jsonb_typeof(v_retry) <> 'object' then
        return query select * from tasker.check_type(v_retry, v_retry_path, 'retry', '{object}');
        return;
    end if;
    return query select * from tasker.check_keys(v_retry, v_retry_path,
        '{retryable,max_attempts,backoff,backoff_base_ms,max_backoff_ms,jitter}', '{}');
    return query select * from tasker.check_type(v_retry -> 'retryable', v_retry_path || '/retryable', 'retryable', '{boolean}');
    return query select * from tasker.check_type(v_retry -> 'jitter', v_retry_path || '/jitter', 'jitter', '{boolean}');
    return query select * from tasker.check_number(v_retry -> 'max_attempts', v_retry_path || '/max_attempts', 'max_attempts', 1, 1000, true);
    return query select * from tasker.check_number(v_retry -> 'backoff_base_ms', v_retry_path || '/backoff_base_ms', 'backoff_base_ms', 0, 31536000000, true);
    return query select * from tasker.check_number(v_retry -> 'max_backoff_ms', v_retry_path || '/max_backoff_ms', 'max_backoff_ms', 0, 31536000000, true);
    return query select v_retry_path || '/backoff', 'invalid_value',
        format('backoff must be exponential, linear, or fixed; it is %s', left((v_retry -> 'backoff')::text, 100))
        where v_retry -> 'backoff' not in ('"exponential"', '"linear"', '"fixed"');
end
$$;
comment on function tasker.check_step(jsonb, text) is 'Problems within one step of a template, its dependencies aside.';
