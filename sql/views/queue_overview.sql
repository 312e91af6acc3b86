create view tasker.queue_overview with (security_barrier) as
select
    m.queue_name as queue,
    n.namespace,
    n.kind,
    m.queue_length as depth,
    m.queue_visible_length as visible,
    m.oldest_msg_age_sec as oldest_age_seconds,
    m.total_messages as total,
    (
        select count(*)
        from tasker.parked_steps p
        where p.namespace = n.namespace
          and n.kind = 'worker'
    ) as parked,
    case
        when n.queue = 'orchestration_task_requests' then (
            select count(*)
            from tasker.held_requests
        )
        else (
            select count(*)
            from tasker.held_steps h
            where h.namespace = n.namespace
              and n.kind = 'worker'
        )
    end as held,
    n.max_depth,
    n.paused_at,
    n.pause_reason
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
        tasker.worker_queue(n.namespace),
        'worker',
        n.namespace,
        n.max_depth,
        n.paused_at,
        n.pause_reason
    from tasker.namespaces n
    union all
    select
        tasker.events_queue(n.namespace),
        'events',
        n.namespace,
        null,
        null,
        null
    from tasker.namespaces n
    where n.events
) n
cross join lateral tasker.queue_metrics(n.queue) m
where ((select tasker.limits()) is null
    or n.namespace = any ((select tasker.limits())::text[]));
comment on view tasker.queue_overview is
    'Every queue of Tasker, those of domain events with kind events. '
    'depth: messages; visible: those not claimed; oldest_age_seconds: null when empty; '
    'total: sent so far; '
    'parked: steps beside the queue, of handlers that some live worker lacks (parked_overview); '
    'held: ready steps that wait for the namespace to be resumed or its queue to have room; '
    'of task requests, those taken out of the queue to be handed out in turn by namespace.';
