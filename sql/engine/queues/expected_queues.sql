create function tasker.expected_queues()
returns table (queue text)
language sql stable rows 100 as $$
    select v.queue
    from (values ('orchestration_task_requests'), ('orchestration_step_results')) v (queue)
    union all
    select tasker.worker_queue(n.namespace)
    from tasker.namespaces n
    union all
    select tasker.events_queue(n.namespace)
    from tasker.namespaces n
    where n.events
$$;
comment on function tasker.expected_queues() is 'Every queue that must exist.';
