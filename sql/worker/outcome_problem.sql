create function tasker.outcome_problem(p_outcome jsonb) returns text
language sql immutable parallel safe as $$
    select case
        when coalesce(jsonb_typeof(p_outcome), 'null') <> 'object' then 'an outcome must be an object with the key "type"'
        when p_outcome ->> 'type' = 'success' then null
        when p_outcome ->> 'type' = 'decision' then
            case when coalesce(jsonb_typeof(p_outcome -> 'create_steps'), 'null') <> 'array' or jsonb_path_exists(p_outcome, 'strict $.create_steps[*] ? (@.type() != "string")')
                 then 'a decision must have "create_steps", an array of the names of the steps that are to exist; it may be empty' end
        when p_outcome ->> 'type' = 'batches' then
            case when coalesce(jsonb_typeof(p_outcome -> 'cursors'), 'null') <> 'array' then 'batches must have "cursors", an array with the cursor of each instance; it may be empty'
                 when coalesce(jsonb_typeof(p_outcome -> 'worker_step'), 'string') not in ('string', 'null') then 'worker_step must be a string' end
        when p_outcome ->> 'type' = 'checkpoint' then
            case when not p_outcome ? 'cursor' then 'a checkpoint must have a "cursor": where to go on'
                 when jsonb_typeof(coalesce(nullif(p_outcome -> 'items_processed', 'null'), '0')) <> 'number'
                      or coalesce(nullif(p_outcome ->> 'items_processed', ''), '0') !~ '^[0-9]{1,15}$' then 'items_processed must be a whole number below 1,000,000,000,000,000' end
        when p_outcome ->> 'type' is distinct from 'failure' then
            format('unknown outcome type %s; the types are success, failure, decision, batches, checkpoint', coalesce(left((p_outcome -> 'type')::text, 100), 'null'))
        when coalesce(jsonb_typeof(p_outcome -> 'message'), 'null') <> 'string' then 'a failure must have a "message", a string'
        when coalesce(jsonb_typeof(p_outcome -> 'retryable'), 'boolean') not in ('boolean', 'null') then 'retryable must be true or false'
        when coalesce(jsonb_typeof(p_outcome -> 'code'), 'string') not in ('string', 'null') then 'code must be a string'
        when coalesce(jsonb_typeof(p_outcome -> 'retry_after_ms'), 'null') <> 'null' and tasker.to_count(p_outcome -> 'retry_after_ms') is null then
            'retry_after_ms must be a whole number of milliseconds below 1,000,000,000'
    end
$$;
comment on function tasker.outcome_problem(jsonb) is 'What is wrong with an outcome, or null where it is well-formed. The one place that knows the forms of outcomes.';
