create view tasker.queue_overview with (security_barrier) as
select
    metrics.queue_name as queue,
    queue.namespace,
    queue.kind,
    metrics.queue_length as depth,
    metrics.queue_visible_length as visible,
    metrics.oldest_msg_age_sec as oldest_age_seconds,
    metrics.total_messages as total,
    (
        select count(*)
        from tasker.parked_steps parked
        where parked.namespace = queue.namespace
          and queue.kind = 'worker'
    ) as parked,
    case
        when queue.queue = 'orchestration_task_requests' then (
            select count(*)
            from tasker.held_requests
        )
        else (
            select count(*)
            from tasker.held_steps held
            where held.namespace = queue.namespace
              and queue.kind = 'worker'
        )
    end as held,
    queue.max_depth,
    queue.paused_at,
    queue.pause_reason
from (
    select
        'orchestration_task_requests' as queue,
        'orchestration' as kind,
        null as namespace,
        null::int as max_depth,
        null::timestamptz as paused_at,
        null as pause_reason
    union all
    select
        'orchestration_step_results',
        'orchestration',
        null,
        null,
        null,
        null
    union all
    select
        tasker.worker_queue(namespace.namespace),
        'worker',
        namespace.namespace,
        namespace.max_depth,
        namespace.paused_at,
        namespace.pause_reason
    from tasker.namespaces namespace
    union all
    select
        tasker.events_queue(namespace.namespace),
        'events',
        namespace.namespace,
        null,
        null,
        null
    from tasker.namespaces namespace
    where namespace.events
) queue
cross join lateral tasker.queue_metrics(queue.queue) metrics
where ((select tasker.limits()) is null
    or queue.namespace = any ((select tasker.limits())::text[]));
comment on view tasker.queue_overview is
    'Every queue of Tasker, those of domain events with kind events. '
    'depth: messages; visible: those not claimed; oldest_age_seconds: null when empty; '
    'total: sent so far; '
    'parked: steps beside the queue, of handlers that some live worker lacks (parked_overview); '
    'held: ready steps that wait for the namespace to be resumed or its queue to have room; '
    'of task requests, those taken out of the queue to be handed out in turn by namespace.';
