create function tasker.oldest_message(p_queue text) returns timestamptz
language sql volatile as $$
    -- pgmq's ages are whole seconds; five more are a margin for the two clocks and rounding.
    select tasker.clock() - make_interval(secs => coalesce(m.oldest_msg_age_sec, 0) + 5)
    from tasker.queue_metrics(p_queue) m
$$;
comment on function tasker.oldest_message(text) is
    'Every message in a queue was sent after this time. A step sent earlier that still waits has '
    'lost its message. Null: the queue is gone.';
