create function tasker.bury_events(p_events tasker.outgoing_event[], p_refused jsonb)
returns void
language plpgsql volatile as $$
begin
    -- tasker.keep_dead_letter is not used: it compares with what is there, and no event is like
    -- another.
    insert into tasker.dead_letters (
        entry_id,
        reason,
        queue,
        message,
        task_id,
        step,
        detail,
        created_at
    )
    select
        tasker.new_id(),
        'bad_message',
        tasker.events_queue(e.namespace),
        e.message,
        e.task_id,
        e.step,
        left(coalesce(e.problem, p_refused ->> e.namespace), 1000),
        tasker.clock()
    from unnest(p_events) e
    where coalesce(e.problem, p_refused ->> e.namespace) <> '';
end
$$;
comment on function tasker.bury_events(tasker.outgoing_event[], jsonb) is
    'Makes a dead letter of each event that has a problem of its own, or whose namespace''s queue '
    'has one (p_refused: {namespace: problem}).';
