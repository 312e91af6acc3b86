create function tasker.read_results(
    p_results      jsonb,
    out task_ids   uuid[],
    out steps      text[],
    out claim_nos  int[],
    out results    jsonb[],
    out decided    jsonb[]
)
language plpgsql stable as $$
begin
    select
        tasker.to_uuids(array_agg(e.r ->> 'task_id')),
        array_agg(e.r ->> 'step'),
        tasker.to_ints(array_agg(e.r ->> 'claim_no')),
        array_agg(case
            when e.r #>> '{outcome,type}' = 'success'
             and (
                pg_column_size(e.r) <= 1000
                or tasker.result_too_large(e.r #> '{outcome,result}') is null
            )
                then coalesce(e.r #> '{outcome,result}', 'null')
            when e.r #>> '{outcome,type}' = 'decision'
             and tasker.outcome_error(e.r ->> 'task_id', e.r ->> 'step', e.r -> 'outcome') is null
                then coalesce(e.r #> '{outcome,result}', 'null')
        end),
        array_agg(case
            when e.r #>> '{outcome,type}' = 'decision'
                then (e.r -> 'outcome') - '{type,result}'::text[]
        end)
    into task_ids, steps, claim_nos, results, decided
    from jsonb_array_elements(p_results) e(r);
end
$$;
comment on function tasker.read_results(jsonb) is
    'The parts of results that complete_steps needs, in their order. '
    'results: those of successes and decisions; null for all others (failures, batches, results '
    'over the limit), which go through the queue.';
