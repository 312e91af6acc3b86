create function tasker.end_tasks(
    p_task_ids  uuid[],
    p_state     tasker.task_state,
    p_result    jsonb default null
)
returns void
language plpgsql volatile as $$
declare
    v_now  timestamptz := tasker.clock();
begin
    perform tasker.cancel_steps(p_task_ids);
    update tasker.tasks t
    set state = p_state,
        active = 0,
        held = 0,
        waiting_retry = 0,
        result = coalesce(p_result, (n.made).value),
        output_errors = (n.made).error,
        updated_at = v_now,
        completed_at = v_now
    from (
        select
            q.task_id,
            case
                when p_state = 'resolved_manually' and p_result is null
                    then tasker.task_output(q.task_id, q.template_id)
            end as made
        from tasker.tasks q
        where q.task_id = any (p_task_ids)
        offset 0
    ) n
    where t.task_id = n.task_id;
    delete from tasker.held_steps h
    where h.task_id = any (p_task_ids);
    perform tasker.unpark_steps(p_task_ids);
end
$$;
comment on function tasker.end_tasks(uuid[], tasker.task_state, jsonb) is
    'Ends unfinished tasks as an operator or client says: '
    'cancelled or resolved_manually, their unfinished steps cancelled. '
    'The caller holds the tasks.';
