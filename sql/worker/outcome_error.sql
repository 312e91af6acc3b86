create function tasker.outcome_error(p_outcome jsonb) returns jsonb
language plpgsql stable as $$
declare
    v_problem text;
begin
    if p_outcome ->> 'type' = 'success' then
        -- A small outcome has no large result: the limit is looked up for others only.
        if pg_column_size(p_outcome) > 1000 then
            v_problem := tasker.result_too_large(p_outcome -> 'result');
        end if;
        return case when v_problem is not null then jsonb_build_object('message', v_problem, 'code', 'result_too_large', 'retryable', false) end;
    end if;
    v_problem := tasker.outcome_problem(p_outcome);
    if v_problem is not null then
        return jsonb_build_object('message', v_problem, 'code', 'invalid_outcome', 'retryable', false);
    end if;
    return jsonb_build_object('message', left(p_outcome ->> 'message', 10000), 'retryable', coalesce(nullif(p_outcome -> 'retryable', 'null'), 'true'))
        || jsonb_strip_nulls(jsonb_build_object('code', left(p_outcome ->> 'code', 200), 'retry_after_ms', p_outcome -> 'retry_after_ms'));
end
$$;
comment on function tasker.outcome_error(jsonb) is 'The error a step keeps of an outcome: null for a success; for an outcome of the wrong form, or a result over the limit, what is wrong with it. Long messages and codes are cut.';
