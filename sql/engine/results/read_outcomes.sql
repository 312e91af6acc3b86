create function tasker.read_outcomes(
    p_results      jsonb,
    out task_ids   uuid[],
    out steps      text[],
    out claim_nos  int[],
    out outcomes   jsonb[],
    out errors     jsonb[],
    out durations  int[]
)
language plpgsql stable as $$
begin
    select
        tasker.to_uuids(array_agg(e.r ->> 'task_id')),
        array_agg(e.r ->> 'step'),
        tasker.to_ints(array_agg(e.r ->> 'claim_no')),
        array_agg(e.r -> 'outcome'),
        array_agg(tasker.outcome_error(e.r ->> 'task_id', e.r ->> 'step', e.r -> 'outcome')),
        array_agg(tasker.to_count(e.r -> 'duration_ms'))
    into task_ids, steps, claim_nos, outcomes, errors, durations
    from jsonb_array_elements(p_results) e(r);
end
$$;
comment on function tasker.read_outcomes(jsonb) is
    'The parts of results that submit_results needs, in their order. '
    'errors: those that the steps keep of their outcomes. Null: there are no results.';
