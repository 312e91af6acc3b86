create function tasker.task_document(p_task tasker.tasks) returns jsonb
-- One expression, which becomes part of the statement that calls it.
language sql stable as $$
    select jsonb_build_object(
        'task_id', p_task.task_id,
        'namespace', p_task.namespace,
        'name', p_task.name,
        'correlation_id', p_task.correlation_id,
        'created_at',
        to_char(p_task.created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))
$$;
comment on function tasker.task_document(tasker.tasks) is 'What $.task is in paths.';
