create view tasker.step_dag with (security_barrier) as
select
    n.task_id,
    n.step,
    n.template_step,
    p.type,
    n.state,
    n.presence,
    array(
        select e.parent
        from tasker.template_edges e
        where e.template_id = n.template_id
          and e.child = n.template_step
        order by 1
    ) as parents,
    array(
        select e.child
        from tasker.template_edges e
        where e.template_id = n.template_id
          and e.parent = n.template_step
        order by 1
    ) as children,
    p.level
from (
    select
        s.task_id,
        t.template_id,
        s.name as step,
        s.template_step,
        s.state,
        'exists' as presence
    from tasker.steps s
    join tasker.tasks t on t.task_id = s.task_id
    where ((select tasker.limits()) is null
        or t.namespace = any ((select tasker.limits())::text[]))
    union all
    select
        t.task_id,
        t.template_id,
        u.step,
        u.step,
        null,
        u.presence
    from tasker.tasks t
    join tasker.templates v on v.template_id = t.template_id and v.dynamic
    cross join lateral tasker.unmade_steps(t.task_id) u
    where ((select tasker.limits()) is null
        or t.namespace = any ((select tasker.limits())::text[]))
) n
join tasker.template_steps p on p.template_id = n.template_id and p.name = n.template_step;
comment on view tasker.step_dag is
    'The graph of each task. level: longest path from a root. '
    'presence: exists; undecided: a decision or batchable above it has not ended; not_chosen. '
    'A step that does not exist has no state, and neither has a batch without instances. '
    'Instances of a batch are rows of their own; parents and children name steps of the template.';
