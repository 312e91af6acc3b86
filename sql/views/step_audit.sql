create view tasker.step_audit with (security_barrier) as
select
    a.transition_id,
    a.task_id,
    a.name,
    a.from_state,
    a.to_state,
    a.attempt,
    a.actor_id,
    a.reason,
    a.at
from tasker.step_transitions a
join tasker.tasks t on t.task_id = a.task_id
where ((select tasker.limits()) is null
    or t.namespace = any ((select tasker.limits())::text[]));
comment on view tasker.step_audit is
    'The audit of steps, a row for every hop. Query by task_id.';
