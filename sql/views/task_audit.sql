create view tasker.task_audit with (security_barrier) as
select
    a.transition_id,
    a.task_id,
    a.from_state,
    a.to_state,
    a.actor_id,
    a.reason,
    a.at
from tasker.task_transitions a
join tasker.tasks t on t.task_id = a.task_id
where ((select tasker.limits()) is null
    or t.namespace = any ((select tasker.limits())::text[]));
comment on view tasker.task_audit is
    'The audit of tasks, a row for every hop. Query by task_id.';
