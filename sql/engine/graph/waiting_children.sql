create function tasker.waiting_children(p_settled tasker.settled_step[])
returns table (
    task_id        uuid,
    template_id    uuid,
    name           text,
    template_step  text,
    n              int,
    ready          boolean,
    held           boolean
)
-- Stable, in SQL, and without settings of its own, so that it becomes part of the statement that
-- calls it.
language sql stable as $$
    with satisfied as (
        select settled.task_id, settled.template_id, edge.child, count(*)::int as n
        from unnest(p_settled) settled
        cross join lateral tasker.children_of(settled.template_id, settled.template_step) edge
        where settled.satisfied
        group by settled.task_id, settled.template_id, edge.child
    )
    select
        satisfied.task_id,
        satisfied.template_id,
        child.name,
        child.template_step,
        satisfied.n,
        child.waiting_on = satisfied.n,
        child.waiting_on = satisfied.n
            and exists (select from tasker.every_gated_namespace)
            and (
                select task.namespace
                from tasker.tasks task
                where task.task_id = satisfied.task_id
            ) in (select gated.namespace from tasker.every_gated_namespace gated)
    from satisfied
    cross join lateral (
        select *
        from tasker.steps child
        where child.task_id = satisfied.task_id
          and child.name = satisfied.child
          and child.state = 'pending'
        offset 0
    ) child
$$;
comment on function tasker.waiting_children(tasker.settled_step[]) is
    'The waiting children of satisfied steps: by how many (n) each is counted down, whether it is '
    'ready then, and whether its namespace takes no steps now.';
