select
    count(*) filter (where t.completed_at is not null),
    coalesce(sum(t.steps - t.remaining), 0)::bigint,
    (array_agg(t.task_id) filter (
        where t.state in ('error', 'cancelled', 'blocked_by_failures')
    ))[1]
from tasker.task_overview t
where t.task_id = any ($1)
