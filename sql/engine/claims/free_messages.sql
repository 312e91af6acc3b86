create function tasker.free_messages(p_queue text, p_msg_ids bigint[]) returns bigint[]
language plpgsql volatile as $$
declare
    v_free  bigint[];
begin
    if not tasker.has_queue(p_queue) then
        return '{}';
    end if;

    -- pgmq has no call for this. Its tables are read here, not written.
    execute format(
        'select array_agg(m.msg_id) from ('
        'select q.msg_id from pgmq.%I q where q.msg_id = any ($1) '
        'order by q.msg_id for update skip locked) m',
        pgmq.format_table_name(p_queue, 'q')
    )
    into v_free
    using p_msg_ids;
    return coalesce(v_free, '{}');
exception when lock_not_available then
    return '{}';
end
$$;
comment on function tasker.free_messages(text, bigint[]) is
    'Locks the given messages of a queue, except those locked by others. '
    'Empty if the queue is gone, or locked for longer than the caller''s lock_timeout.';
