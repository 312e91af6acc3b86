create function tasker.drop_messages(
    p_queue     text,
    p_msg_ids   bigint[],
    p_messages  jsonb[],
    p_kept      bigint[],
    p_held      bigint[]
)
returns void
language plpgsql volatile as $$
declare
    v_dead bigint[];
begin
    -- Somebody holds these steps at this moment: look again in a second.
    if p_held is not null then
        perform pgmq.set_vt(p_queue, h.msg_id, 1) from unnest(p_held) h(msg_id);
    end if;

    -- Messages that name no known step of this namespace are kept as dead letters.
    perform tasker.keep_dead_letter(
        p_queue,
        m.msg_id,
        m.message,
        'a message for workers must be {"task_id","step"} of a known step of this namespace')
    from unnest(p_msg_ids, p_messages) m(msg_id, message)
    where not exists (
        select
        from tasker.steps s
        join tasker.tasks t on t.task_id = s.task_id
        where s.task_id = tasker.to_uuid(m.message ->> 'task_id')
          and s.name = m.message ->> 'step'
          and tasker.worker_queue(t.namespace) = p_queue
    );

    v_dead := array(
        select i
        from unnest(p_msg_ids) i
        where i <> all (coalesce(p_kept, '{}'))
          and i <> all (coalesce(p_held, '{}'))
    );
    if cardinality(v_dead) > 0 then
        perform pgmq.delete(p_queue, v_dead);
    end if;
end
$$;
comment on function tasker.drop_messages(text, bigint[], jsonb[], bigint[], bigint[]) is
    'Deletes the messages of a claim that were of no use: '
    'repeated, of settled steps, or foreign (kept as dead letters).';
