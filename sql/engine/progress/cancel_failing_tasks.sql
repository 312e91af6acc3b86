create function tasker.cancel_failing_tasks(p_task_ids uuid[])
returns void
language plpgsql volatile as $$
begin
    perform tasker.cancel_steps(p_task_ids);
    delete from tasker.held_steps h
    where h.task_id = any (p_task_ids);
    perform tasker.unpark_steps(p_task_ids);
end
$$;
comment on function tasker.cancel_failing_tasks(uuid[]) is
    'Cancels the unfinished steps of tasks that fail, also those that wait beside their queue. '
    'The caller holds the tasks.';
