create function tasker.keep_dead_letter(
    p_queue    text,
    p_msg_id   bigint,
    p_message  jsonb,
    p_detail   text
)
returns void
language sql volatile as $$
    insert into tasker.dead_letters (
        entry_id,
        reason,
        queue,
        msg_id,
        message,
        task_id,
        step,
        detail,
        created_at
    )
    select
        tasker.new_id(),
        'bad_message',
        p_queue,
        p_msg_id,
        p_message,
        i.task_id,
        left(p_message ->> 'step', 200),
        left(p_detail, 1000),
        tasker.clock()
    from (select tasker.to_uuid(p_message ->> 'task_id') as task_id) i
    -- The same message about a task again and again is one entry.
    where not exists (
        select from tasker.dead_letters d
        where d.task_id = i.task_id
          and d.status = 'pending'
          and d.queue = p_queue
          and d.message = p_message
    )
$$;
comment on function tasker.keep_dead_letter(text, bigint, jsonb, text) is
    'Keeps an unusable message for people to look at. The caller removes it from its queue in the '
    'same transaction.';
