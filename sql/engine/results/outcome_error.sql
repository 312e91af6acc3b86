create function tasker.outcome_error(
    p_task_id  text,
    p_step     text,
    p_outcome  jsonb
)
returns jsonb
language plpgsql stable as $$
declare
    v_type     text := p_outcome ->> 'type';
    v_problem  text;
    v_code     text := 'result_too_large';
begin
    if v_type = 'success' then
        -- A small outcome has no large result: the limit is looked up for others only.
        if pg_column_size(p_outcome) > 1000 then
            v_problem := tasker.result_too_large(p_outcome -> 'result');
        end if;
        if v_problem is null and p_outcome - '{type,result}'::text[] <> '{}' then
            v_problem := tasker.outcome_problem(p_outcome);
            v_code := 'invalid_outcome';
        end if;
        return case
            when v_problem is not null
                then jsonb_build_object('message', v_problem, 'code', v_code, 'retryable', false)
        end;
    end if;

    v_problem := tasker.outcome_problem(p_outcome);
    if v_problem is null and v_type in ('decision', 'batches', 'skip') then
        v_problem := tasker.choice_problem(tasker.to_uuid(p_task_id), p_step, p_outcome);
    end if;
    if v_problem is not null then
        return jsonb_build_object(
            'message', v_problem, 'code', 'invalid_outcome', 'retryable', false);
    elsif v_type <> 'failure' then
        v_problem := tasker.result_too_large(
            case v_type when 'checkpoint' then p_outcome else p_outcome -> 'result' end,
            case v_type when 'checkpoint' then 'checkpoint' else 'result' end);
        return case
            when v_problem is not null
                then jsonb_build_object('message', v_problem, 'code', v_code, 'retryable', false)
        end;
    end if;

    -- A failure that is well-formed is itself the error.
    return jsonb_build_object(
            'message', left(
                coalesce(nullif(p_outcome ->> 'message', ''), 'the handler gave no message'),
                10000),
            'retryable', p_outcome -> 'retryable' is distinct from 'false')
        || jsonb_strip_nulls(jsonb_build_object(
            'code', left(p_outcome ->> 'code', 200),
            'retry_after_ms', tasker.to_count(p_outcome -> 'retry_after_ms')));
end
$$;
comment on function tasker.outcome_error(text, text, jsonb) is
    'The error that a step keeps of an outcome: null for a success, a possible choice, or a '
    'checkpoint; the problem of a malformed outcome or a result over the limit. '
    'Long messages and codes are cut.';
