create function tasker.settle_steps(
    p_task_ids   uuid[],
    p_steps      text[],
    p_claim_nos  int[],
    p_now        timestamptz
)
returns tasker.settled_step[]
language plpgsql volatile as $$
declare
    v_settled  tasker.settled_step[];
begin
    -- Compare and swap on state and claim number: a repeated or outdated result changes nothing.
    with moved as (
        update tasker.steps s
        set state = (case
                when r.finished then 'cancelled'
                when s.error is null then 'complete'
                when (s.error ->> 'retryable')::boolean
                 and s.attempt < s.max_attempts then 'pending'
                else 'error'
            end)::tasker.step_state,
            -- A failure counts like an end where its batch is to go on after it, or its template
            -- says what follows.
            satisfied = not r.finished
                and (
                    s.error is null
                    or (p.handled or p.failure_strategy is not distinct from 'continue_on_failure')
                    and not ((s.error ->> 'retryable')::boolean and s.attempt < s.max_attempts)
                ),
            available_at = case
                when not r.finished
                 and (s.error ->> 'retryable')::boolean
                 and s.attempt < s.max_attempts
                    then p_now + make_interval(
                        secs => coalesce(
                            (s.error ->> 'retry_after_ms')::bigint,
                            tasker.backoff_ms(
                                p.backoff,
                                s.attempt,
                                p.backoff_base_ms,
                                p.max_backoff_ms,
                                p.jitter
                            )
                        ) / 1000.0
                    )
            end,
            completed_at = case
                when r.finished
                  or s.error is null
                  or not (s.error ->> 'retryable')::boolean
                  or s.attempt >= s.max_attempts
                    then p_now
            end,
            updated_at = p_now
        from (
            select
                i.*,
                t.template_id,
                s.template_step,
                t.completed_at is not null as finished
            from (
                select distinct i.*
                from unnest(p_task_ids, p_steps, p_claim_nos) i(task_id, step, claim_no)
            ) i
            cross join lateral (
                select * from tasker.tasks t where t.task_id = i.task_id offset 0
            ) t
            cross join lateral (
                select s.template_step
                from tasker.steps s
                where s.task_id = i.task_id
                  and s.name = i.step
                offset 0
            ) s
        ) r
        cross join lateral tasker.template_step(r.template_id, r.template_step) p
        where s.task_id = r.task_id
          and s.name = r.step
          and s.claim_no = r.claim_no
          and s.state = 'enqueued_for_orchestration'
        returning
            s.task_id,
            r.template_id,
            s.name,
            s.template_step,
            s.state,
            s.available_at,
            s.error,
            s.satisfied,
            s.decides,
            s.reveals,
            s.result_bytes
    )
    select array_agg(row(m.*)::tasker.settled_step)
    into v_settled
    from moved m;
    return v_settled;
end
$$;
comment on function tasker.settle_steps(uuid[], text[], int[], timestamptz) is
    'Moves steps out of enqueued_for_orchestration: '
    'complete, error, pending for a retry, or cancelled with their task. '
    'The caller holds the tasks.';
