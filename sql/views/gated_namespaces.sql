-- requires: views/every_gated_namespace.sql
create view tasker.gated_namespaces with (security_barrier) as
select g.namespace
from tasker.every_gated_namespace g
where ((select tasker.limits()) is null
    or g.namespace = any ((select tasker.limits())::text[]));
comment on view tasker.gated_namespaces is
    'Namespaces that are paused or have a max_depth: steps that become ready there are held, and '
    'sent in turn by enqueue_ready_steps.';
