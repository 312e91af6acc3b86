create function tasker.oldest_message(p_queue text) returns timestamptz
language sql volatile set search_path = pg_catalog, pg_temp as $$
    -- pgmq's ages are whole seconds; five more are a margin for the two clocks and rounding.
    select tasker.clock() - make_interval(secs => coalesce(m.oldest_msg_age_sec, 0) + 5)
    from tasker.queue_metrics(p_queue) m
$$;
comment on function tasker.oldest_message(text) is
    'Every message that a queue still holds was sent after this time. '
    'What was sent before, and still waits, has lost its message. '
    'Null where the queue is gone.';
