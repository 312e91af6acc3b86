create function tasker.store_outcomes(
    p_held       int[],
    p_task_ids   uuid[],
    p_steps      text[],
    p_outcomes   jsonb[],
    p_errors     jsonb[],
    p_durations  int[],
    p_now        timestamptz
)
returns int[]
language plpgsql volatile as $$
declare
    v_stored    int[];
    v_task_ids  uuid[];
    v_msg_ids   bigint[];
    v_messages  jsonb[];
begin
    with stored as (
        update tasker.steps s
        set state = 'enqueued_for_orchestration',
            updated_at = p_now,
            duration_ms = r.duration,
            result = case when r.error is null then coalesce(r.outcome -> 'result', 'null') end,
            result_bytes = case
                when r.error is null then coalesce(octet_length((r.outcome -> 'result')::text), 4)
            end,
            decided = case
                when r.error is not null then null
                when s.decides then r.outcome - '{type,result}'::text[]
                when r.outcome ->> 'type' = 'skip' then '{"skip": true}'::jsonb
            end,
            error = r.error || jsonb_build_object('attempt', s.attempt),
            -- Only losses in a row count: a handler that fails by itself has not taken its worker
            -- with it.
            lease_losses = case when r.error is null then s.lease_losses else 0 end,
            worker_losses = case when r.error is null then s.worker_losses else 0 end
        from (
            select i.*
            from unnest(p_held) h(n)
            join unnest(p_task_ids, p_steps, p_outcomes, p_errors, p_durations)
                with ordinality i(task_id, step, outcome, error, duration, n)
              on i.n = h.n
        ) r
        where s.task_id = r.task_id
          and s.name = r.step
          and (r.error is not null or r.outcome ->> 'type' <> 'checkpoint')
        returning r.n, s.task_id, s.name, s.claim_no, s.msg_id
    )
    select
        array_agg(s.n),
        array_agg(s.task_id),
        array_agg(s.msg_id),
        array_agg(tasker.result_message(s.task_id, s.name, s.claim_no))
    into v_stored, v_task_ids, v_msg_ids, v_messages
    from stored s;

    if v_stored is not null then
        -- Only the messages of what this call moved are deleted: after a re-claim the same message
        -- belongs to the new claim.
        perform tasker.delete_messages(v_task_ids, v_msg_ids);
        perform tasker.send_results(v_messages);
    end if;
    return v_stored;
end
$$;
comment on function tasker.store_outcomes(
    int[], uuid[], text[], jsonb[], jsonb[], int[], timestamptz
) is
    'Stores outcomes, or their errors, and sends them to the orchestrators: all but the '
    'checkpoints without an error. Returns the places of those stored. '
    'p_held: the places of those whose steps the caller holds.';
