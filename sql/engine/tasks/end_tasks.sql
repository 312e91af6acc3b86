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
        result = coalesce(p_result, o.result),
        output_errors = o.errors,
        updated_at = v_now,
        completed_at = v_now
    from unnest(p_task_ids) n(task_id)
    cross join lateral (
        select q.template_id from tasker.tasks q where q.task_id = n.task_id offset 0
    ) q
    left join lateral tasker.task_output(
        n.task_id, q.template_id, p_state = 'resolved_manually' and p_result is null) o on true
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
