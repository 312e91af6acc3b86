create function tasker.task_snapshot(p_task_id uuid)
returns jsonb
language sql stable as $$
    select jsonb_strip_nulls(jsonb_build_object(
        'task_id', t.task_id,
        'namespace', t.namespace,
        'name', t.name,
        'version', v.version,
        'state', t.state,
        'remaining', t.remaining,
        'active', t.active,
        'held', t.held,
        'waiting_retry', t.waiting_retry,
        'failed', t.failed,
        'priority', t.priority,
        'correlation_id', t.correlation_id,
        'idempotency_key', t.idempotency_key,
        'run_at', t.run_at,
        'created_at', t.created_at,
        'started_at', t.started_at,
        'updated_at', t.updated_at,
        'completed_at', t.completed_at,
        'context', tasker.shortened(t.context),
        'error', tasker.shortened(t.error),
        'step_count', (
            select count(*)
            from tasker.steps s
            where s.task_id = t.task_id
        ),
        'steps', (
            select coalesce(jsonb_agg(s.step), '[]')
            from (
                -- Failed steps come first, then those that have not ended: of a task with more
                -- steps the rest is left out.
                select jsonb_build_object(
                    'name', s.name,
                    'state', s.state,
                    'attempt', s.attempt,
                    'max_attempts', s.max_attempts,
                    'claim_no', s.claim_no,
                    'waiting_on', s.waiting_on,
                    'worker_id', s.worker_id,
                    'available_at', s.available_at,
                    'enqueued_at', s.enqueued_at,
                    'started_at', s.started_at,
                    'completed_at', s.completed_at,
                    'duration_ms', s.duration_ms,
                    'error', tasker.shortened(s.error),
                    'result', tasker.shortened(s.result),
                    'checkpoint', tasker.shortened(s.checkpoint)
                ) as step
                from tasker.steps s
                where s.task_id = t.task_id
                order by
                    s.state = 'error' desc,
                    s.satisfied,
                    s.state = 'pending',
                    s.name
                limit 1000
            ) s
        )
    ))
    from tasker.tasks t
    join tasker.templates v on v.template_id = t.template_id
    where t.task_id = p_task_id
$$;
comment on function tasker.task_snapshot(uuid) is
    'The snapshot that a dead letter keeps: a task and up to 1,000 of its steps as they are now, '
    'with the sizes of large values. Null: no such task.';
