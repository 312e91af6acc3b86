create view tasker.task_overview with (security_barrier) as
select
    t.task_id,
    t.namespace,
    t.name,
    v.version,
    t.state,
    t.priority,
    (select count(*) from tasker.steps s where s.task_id = t.task_id) as steps,
    t.remaining,
    t.active,
    t.held,
    t.waiting_retry,
    t.failed,
    t.error,
    t.correlation_id,
    t.idempotency_key,
    t.run_at,
    t.created_at,
    t.started_at,
    t.completed_at,
    coalesce(t.completed_at, tasker.now()) - t.created_at as duration,
    case
        when t.active > 0 or t.state = 'waiting_for_dependencies' then
            tasker.task_waiting_for(t.task_id)
    end as waiting_for
from tasker.tasks t
join tasker.templates v on v.template_id = t.template_id
where ((select tasker.limits()) is null
    or t.namespace = any ((select tasker.limits())::text[]));
comment on view tasker.task_overview is
    'Every task with its template''s version and its counters. '
    'duration: since it was enqueued. waiting_for: why it waits: one of its steps needs a handler '
    'that no live worker has, or its namespace is paused or full.';
