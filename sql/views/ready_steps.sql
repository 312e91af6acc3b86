-- requires: views/every_ready_step.sql
create view tasker.ready_steps with (security_barrier) as
select r.*
from tasker.every_ready_step r
where ((select tasker.limits()) is null
    or r.namespace = any ((select tasker.limits())::text[]));
comment on view tasker.ready_steps is
    'Steps that wait for nothing but their time (available_at): a retry, a start time. '
    'For people: the steps that the sweep will send.';
