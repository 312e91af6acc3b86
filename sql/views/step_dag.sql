create view tasker.step_dag as
select s.task_id, s.name as step, s.state,
       array(select e.parent from tasker.template_edges e where e.template_id = t.template_id and e.child = s.template_step order by 1) as parents,
       array(select e.child from tasker.template_edges e where e.template_id = t.template_id and e.parent = s.template_step order by 1) as children,
       p.level
  from tasker.steps s
  join tasker.tasks t on t.task_id = s.task_id
  join tasker.template_steps p on p.template_id = t.template_id and p.name = s.template_step;
comment on view tasker.step_dag is 'The graph of each task. level: longest path from a root.';
