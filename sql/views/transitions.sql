create view tasker.transitions with (security_barrier) as
select
    a.task_id,
    t.correlation_id,
    null::text as step,
    a.from_state::text as from_state,
    a.to_state::text as to_state,
    null::int as attempt,
    a.actor_id,
    a.reason,
    a.at
from tasker.task_transitions a
join tasker.tasks t on t.task_id = a.task_id
where ((select tasker.limits()) is null
    or t.namespace = any ((select tasker.limits())::text[]))
union all
select
    a.task_id,
    t.correlation_id,
    a.name,
    a.from_state::text,
    a.to_state::text,
    a.attempt,
    a.actor_id,
    a.reason,
    a.at
from tasker.step_transitions a
join tasker.tasks t on t.task_id = a.task_id
where ((select tasker.limits()) is null
    or t.namespace = any ((select tasker.limits())::text[]));
comment on view tasker.transitions is
    'Both audits in one: every hop of a task (step is null) and of its steps, with the correlation '
    'id. Query by task_id or correlation_id.';
