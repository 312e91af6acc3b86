create view tasker.step_dag with (security_barrier) as
select
    node.task_id,
    node.step,
    node.template_step,
    tmpl.type,
    node.state,
    node.presence,
    array(
        select edge.parent
        from tasker.template_edges edge
        where edge.template_id = node.template_id
          and edge.child = node.template_step
        order by 1
    ) as parents,
    array(
        select edge.child
        from tasker.template_edges edge
        where edge.template_id = node.template_id
          and edge.parent = node.template_step
        order by 1
    ) as children,
    tmpl.level
from (
    select
        step.task_id,
        task.template_id,
        step.name as step,
        step.template_step,
        step.state,
        'exists' as presence
    from tasker.steps step
    join tasker.tasks task on task.task_id = step.task_id
    where ((select tasker.limits()) is null
        or task.namespace = any ((select tasker.limits())::text[]))
    union all
    select
        task.task_id,
        task.template_id,
        unmade.step,
        unmade.step,
        null,
        unmade.presence
    from tasker.tasks task
    join tasker.templates template on template.template_id = task.template_id and template.dynamic
    cross join lateral tasker.unmade_steps(task.task_id) unmade
    where ((select tasker.limits()) is null
        or task.namespace = any ((select tasker.limits())::text[]))
) node
join tasker.template_steps tmpl
    on tmpl.template_id = node.template_id
    and tmpl.name = node.template_step;
comment on view tasker.step_dag is
    'The graph of each task. level: longest path from a root. '
    'presence: exists; undecided: what decides on it has not ended; not_chosen. '
    'A step that does not exist has no state, and neither has a batch without instances. '
    'Instances of a batch are rows of their own; parents and children name steps of the template.';
