create function tasker.outcome_problem(p_outcome jsonb) returns text
language sql immutable parallel safe as $$
    select case
        when coalesce(jsonb_typeof(p_outcome), 'null') <> 'object' then 'an outcome must be an object with the key "type"'
        when p_outcome ->> 'type' = 'success' then null
        when p_outcome ->> 'type' is distinct from 'failure' then
            format('unknown outcome type %s; the types are success, failure', coalesce(left((p_outcome -> 'type')::text, 100), 'null'))
        when coalesce(jsonb_typeof(p_outcome -> 'message'), 'null') <> 'string' then 'a failure must have a "message", a string'
        when coalesce(jsonb_typeof(p_outcome -> 'retryable'), 'boolean') not in ('boolean', 'null') then 'retryable must be true or false'
        when coalesce(jsonb_typeof(p_outcome -> 'code'), 'string') not in ('string', 'null') then 'code must be a string'
        when coalesce(jsonb_typeof(p_outcome -> 'retry_after_ms'), 'null') <> 'null' and tasker.to_count(p_outcome -> 'retry_after_ms') is null then
            'retry_after_ms must be a whole number of milliseconds below 1,000,000,000'
    end
$$;
comment on function tasker.outcome_problem(jsonb) is 'What is wrong with an outcome, or null where it is well-formed. The one place that knows the forms of outcomes.';
