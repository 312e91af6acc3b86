create view tasker.namespace_overview with (security_barrier) as
select
    n.namespace,
    n.max_depth,
    n.paused_at,
    n.pause_reason,
    n.created_at
from tasker.namespaces n
where ((select tasker.limits()) is null
    or n.namespace = any ((select tasker.limits())::text[]));
comment on view tasker.namespace_overview is
    'Every namespace: its limit, and since when and why it is paused.';
