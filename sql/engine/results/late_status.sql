create function tasker.late_status(
    p_step      tasker.steps,
    p_claim_no  int,
    p_outcome   jsonb
)
returns text
language sql immutable as $$
    select case
        when p_step.claim_no is distinct from p_claim_no then 'stale'
        when p_step.state = 'in_progress' then 'busy'
        -- This claim's result is stored already: the caller's commit was unknown.
        when p_step.state in ('enqueued_for_orchestration', 'complete', 'error', 'pending')
            then 'duplicate'
        -- So is this checkpoint, and the step waits for its next claim.
        when p_step.state = 'enqueued'
         and p_outcome ->> 'type' = 'checkpoint'
         and p_step.checkpoint -> 'cursor' = p_outcome -> 'cursor'
            then 'duplicate'
        else 'stale'
    end
$$;
comment on function tasker.late_status(tasker.steps, int, jsonb) is
    'The status of a result that was not stored, by the state of its step: '
    'stale, busy, or duplicate.';
