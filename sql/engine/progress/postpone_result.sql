create function tasker.postpone_result(
    p_message  jsonb,
    p_task_id  uuid,
    p_step     text,
    p_now      timestamptz
)
returns boolean
language plpgsql volatile as $$
declare
    v_since  timestamptz;
begin
    select s.updated_at
    into v_since
    from tasker.steps s
    where s.task_id = p_task_id
      and s.name = p_step;
    if not found then
        return false;
    end if;

    -- Longer each time, by how long the result has waited already.
    perform pgmq.send(
        'orchestration_step_results',
        p_message,
        null::jsonb,
        clock_timestamp()
            + least(interval '10 s', greatest(interval '250 ms', (p_now - v_since) / 4))
    );
    return true;
end
$$;
comment on function tasker.postpone_result(jsonb, uuid, text, timestamptz) is
    'Postpones a result whose task is locked: it comes again in a moment. '
    'False: its step does not exist, so there is nothing to wait for.';
