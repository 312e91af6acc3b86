create view tasker.every_gated_namespace as
select n.namespace
from tasker.namespaces n
where n.paused_at is not null or n.max_depth is not null;
comment on view tasker.every_gated_namespace is
    'For Tasker''s own functions; people read gated_namespaces. '
    'Namespaces that are paused or have a max_depth: steps that become ready there are held, and '
    'sent in turn by enqueue_ready_steps.';
