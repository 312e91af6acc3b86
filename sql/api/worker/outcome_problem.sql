-- for: worker
create function tasker.outcome_problem(p_outcome jsonb)
returns text
language plpgsql immutable parallel safe security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_keys     text[];
    v_unknown  text;
begin
    if coalesce(jsonb_typeof(p_outcome), 'null') <> 'object' then
        return 'an outcome must be an object with the key "type"';
    end if;

    v_keys := case p_outcome ->> 'type'
        when 'success' then '{type,result}'
        when 'failure' then '{type,message,retryable,code,retry_after_ms}'
        when 'decision' then '{type,create_steps,result}'
        when 'batches' then '{type,worker_step,cursors,result}'
        when 'checkpoint' then '{type,cursor,items_processed,accumulated}'
        when 'skip' then '{type}'
    end;
    if v_keys is null then
        return format(
            'unknown outcome type %s; '
            'the types are success, failure, decision, batches, checkpoint, skip',
            coalesce(left((p_outcome -> 'type')::text, 100), 'null'));
    elsif p_outcome - v_keys <> '{}' then
        -- If it were passed over, a misspelt key would be a value that is silently missing.
        select min(k) into v_unknown from jsonb_object_keys(p_outcome - v_keys) k;
        return format(
            'unknown key "%s" in an outcome of type %s; its keys are %s',
            left(v_unknown, 100), p_outcome ->> 'type', array_to_string(v_keys, ', '));
    end if;

    return case p_outcome ->> 'type'
        -- A failure stays a failure whatever else it says:
        -- its fields are taken as well as they can be.
        when 'failure' then null
        when 'decision' then case
            when coalesce(jsonb_typeof(p_outcome -> 'create_steps'), 'null') <> 'array'
              or jsonb_path_exists(p_outcome, 'strict $.create_steps[*] ? (@.type() != "string")')
                then 'a decision must have "create_steps", '
                    'an array of the names of the steps that are to exist; it may be empty'
        end
        when 'batches' then case
            when coalesce(jsonb_typeof(p_outcome -> 'cursors'), 'null') <> 'array'
                then 'batches must have "cursors", '
                    'an array with the cursor of each instance; it may be empty'
            when coalesce(jsonb_typeof(p_outcome -> 'worker_step'), 'string')
                not in ('string', 'null')
                then 'worker_step must be a string'
        end
        when 'checkpoint' then case
            when not p_outcome ? 'cursor'
                then 'a checkpoint must have a "cursor": where to continue'
            when tasker.to_items(p_outcome -> 'items_processed') is null
                then 'items_processed must be a whole number from 0 to 1,000,000,000,000,000'
        end
    end;
end
$$;
comment on function tasker.outcome_problem(jsonb) is
    'The problem of a malformed outcome; null if it is well-formed. '
    'The only place that knows the forms of outcomes.';
