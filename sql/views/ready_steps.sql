create view tasker.ready_steps as
select s.task_id, s.name as step, s.template_step, t.namespace, t.priority, s.available_at, s.attempt
  from tasker.steps s
  join tasker.tasks t on t.task_id = s.task_id
 where s.state = 'pending' and s.waiting_on = 0 and t.completed_at is null and t.state <> 'pending';
comment on view tasker.ready_steps is 'Steps that wait for nothing but their time (available_at): a retry, a start time. Read by the sweep and by people.';
