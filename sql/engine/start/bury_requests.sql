create function tasker.bury_requests(
    p_msg_ids   bigint[],
    p_messages  jsonb[],
    p_task_ids  uuid[]
)
returns void
language plpgsql volatile as $$
begin
    perform tasker.keep_dead_letter(
        'orchestration_task_requests',
        m.msg_id,
        m.message,
        'a task request must name a known task: {"task_id": ...}'
    )
    from unnest(p_msg_ids, p_messages, p_task_ids) m(msg_id, message, task_id)
    where not exists (select from tasker.tasks t where t.task_id = m.task_id);
end
$$;
comment on function tasker.bury_requests(bigint[], jsonb[], uuid[]) is
    'Writes a dead letter for each request that names no known task. '
    'The caller removes the messages.';
