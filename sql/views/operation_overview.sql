create view tasker.operation_overview with (security_barrier) as
select
    o.operation_id,
    o.at,
    o.operation,
    o.namespace,
    o.said_by,
    o.reason,
    o.detail
from tasker.operations o
where ((select tasker.limits()) is null
    or o.namespace = any ((select tasker.limits())::text[]));
comment on view tasker.operation_overview is
    'Operations on namespaces and on the whole engine, and who did them: apply, pause, resume, '
    'limit, prune, grant, revoke, set_setting. said_by: as in the audit of tasks, always with the '
    'login. Kept for 400 days.';
