create function tasker.dead_letter(p_queue text, p_msg_id bigint, p_message jsonb, p_detail text) returns void
language sql volatile set search_path = '' as $$
    insert into tasker.dlq_entries (entry_id, reason, queue, msg_id, message, task_id, detail, created_at)
    values (tasker.new_id(), 'bad_message', p_queue, p_msg_id, p_message, tasker.to_uuid(p_message ->> 'task_id'), p_detail, tasker.clock())
$$;
comment on function tasker.dead_letter(text, bigint, jsonb, text) is 'Keeps a message that cannot be used, for people to look at. The caller removes it from its queue in the same transaction.';
