create function tasker.show_messages(p_queue text)
returns int
language plpgsql volatile as $$
declare
    v_now      timestamptz := clock_timestamp();
    v_msg_ids  bigint[];
    v_waits    int[];
begin
    -- By to_jsonb, as last_read_at is not there in every pgmq.
    execute format(
        'select array_agg(q.msg_id), '
        'array_agg(least(3600, greatest(0, ceil(extract(epoch from q.vt - w.at))))::int)
                      from pgmq.%I q
                     cross join lateral (select greatest(q.enqueued_at, '
        '(to_jsonb(q) ->> ''last_read_at'')::timestamptz) as at) w
                     where q.vt > $1 + interval ''5 s'' and w.at > $1 + interval ''5 s''',
        'q_' || p_queue
    )
    into v_msg_ids, v_waits
    using v_now;

    perform pgmq.set_vt(p_queue, m.msg_id, m.wait)
    from unnest(v_msg_ids, v_waits) m(msg_id, wait)
    order by m.msg_id;
    return coalesce(cardinality(v_msg_ids), 0);
end
$$;
comment on function tasker.show_messages(text) is
    'Shortens how long messages are hidden that were hidden at a future time, after a clock went '
    'back: to their intended time from now, an hour at most.';
