-- for: operator
-- planner: jit = off
create function tasker.retry_dead_letter(
    p_entry_id  uuid,
    p_reason    text default null,
    p_by        text default null
)
returns int
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_entry  record;
    v_state  text;
    v_done   int;
begin
    perform tasker.check_entry(p_entry_id);
    select
        d.reason,
        d.status,
        d.task_id,
        d.queue,
        d.message,
        d.headers
    into v_entry
    from tasker.dead_letters d
    where d.entry_id = p_entry_id;
    if not found then
        perform tasker.refuse_unknown_dead_letter(p_entry_id);
    elsif v_entry.reason <> 'bad_message' then
        -- The task is locked before its entry, as everywhere else.
        select t.state
        into v_state
        from tasker.tasks t
        where t.task_id = v_entry.task_id
        for no key update;
        if not found then
            perform tasker.refuse_unknown_task(v_entry.task_id);
        end if;
    end if;

    -- The status is read again under the entry's lock, because two operators may come at once.
    select d.status
    into v_entry.status
    from tasker.dead_letters d
    where d.entry_id = p_entry_id
    for no key update;

    if v_entry.status is distinct from 'pending' then
        raise exception 'dead letter % is already %', p_entry_id, v_entry.status
            using
                errcode = 'TK041',
                hint =
                    'Set it back to pending with tasker.update_dead_letter, '
                    'or act on the task itself.';
    elsif v_entry.reason = 'bad_message' then
        if not exists (select from pgmq.list_queues() q where q.queue_name = v_entry.queue) then
            raise exception 'queue % no longer exists', v_entry.queue
                using
                    errcode = 'TK042',
                    hint = 'Nothing can be sent: close the entry with tasker.update_dead_letter.';
        end if;
        perform pgmq.send(v_entry.queue, v_entry.message, v_entry.headers);
        perform tasker.notify_queue(v_entry.queue);
        v_done := 1;
    else
        v_done := tasker.retry_tasks(
            jsonb_build_object('task_ids', jsonb_build_array(v_entry.task_id)),
            coalesce(nullif(p_reason, ''), 'dead letter ' || p_entry_id),
            p_by,
            1
        );
        if v_done = 0 then
            raise exception 'task % cannot be replayed: it is %', v_entry.task_id, v_state
                using
                    errcode = 'TK042',
                    hint = 'A task can be replayed in blocked_by_failures or error; before that, '
                        'retry one step with tasker.retry_step. If it only waits for something, '
                        'remove the cause, and close the entry with tasker.update_dead_letter.';
        end if;
    end if;

    perform tasker.update_dead_letter(
        p_entry_id,
        'manually_resolved',
        coalesce(
            left(
                'retried: ' || nullif(p_reason, ''),
                (select s.max_reason_characters from tasker.settings s)
            ),
            'retried'
        ),
        p_by
    );
    return v_done;
end
$$;
comment on function tasker.retry_dead_letter(uuid, text, text) is
    'Acts on a pending dead letter and closes it as manually_resolved: '
    'replays the failed part of its task, or sends its message to its queue again. '
    'Errors: TK040 no such entry, TK041 not pending, TK042 nothing to replay, '
    'TK004 the task is gone.';
