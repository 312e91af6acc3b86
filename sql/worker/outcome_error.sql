create function tasker.outcome_error(p_outcome jsonb) returns jsonb
language plpgsql immutable parallel safe as $$
declare
    v_problem text;
begin
    if p_outcome ->> 'type' = 'success' then
        return null;
    end if;
    v_problem := tasker.outcome_problem(p_outcome);
    if v_problem is not null then
        return jsonb_build_object('message', v_problem, 'code', 'invalid_outcome', 'retryable', false);
    end if;
    return jsonb_build_object('message', p_outcome -> 'message', 'retryable', coalesce(nullif(p_outcome -> 'retryable', 'null'), 'true'))
        || jsonb_strip_nulls(jsonb_build_object('code', p_outcome -> 'code', 'retry_after_ms', p_outcome -> 'retry_after_ms'));
end
$$;
comment on function tasker.outcome_error(jsonb) is 'The error a step keeps of an outcome: null for a success; for an outcome of the wrong form, what is wrong with it.';
