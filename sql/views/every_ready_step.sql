create view tasker.every_ready_step as
select
    s.task_id,
    s.name as step,
    s.template_step,
    t.namespace,
    t.priority,
    s.available_at,
    s.attempt
from tasker.steps s
-- The few steps whose time is known are read before their tasks; offset 0 keeps that order.
cross join lateral (
    select *
    from tasker.tasks t
    where t.task_id = s.task_id
    offset 0
) t
where s.state = 'pending'
  and s.waiting_on = 0
  and t.completed_at is null
  and t.state <> 'pending';
comment on view tasker.every_ready_step is
    'Steps that wait for nothing but their time (available_at): a retry, a start time. '
    'For Tasker''s own functions; people read ready_steps.';
