create view tasker.parked_overview with (security_barrier) as
select
    p.namespace,
    p.handler,
    count(*) as steps,
    min(p.parked_at) as oldest_at,
    tasker.missing_worker(p.namespace, p.handler) as waiting_for
from tasker.parked_steps p
where ((select tasker.limits()) is null
    or p.namespace = any ((select tasker.limits())::text[]))
group by p.namespace, p.handler;
comment on view tasker.parked_overview is
    'Steps that wait beside their queue, by handler, because some live worker of the namespace '
    'lacks it. waiting_for: set if no live worker has it; null: workers that have it take them in '
    'turn with the queue.';
