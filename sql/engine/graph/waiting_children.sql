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
        select s.task_id, s.template_id, edge.child, count(*)::int as n
        from unnest(p_settled) s
        cross join lateral tasker.children_of(s.template_id, s.template_step) edge
        where s.satisfied
        group by s.task_id, s.template_id, edge.child
    )
    select
        s.task_id,
        s.template_id,
        c.name,
        c.template_step,
        s.n,
        c.waiting_on = s.n,
        c.waiting_on = s.n
            and exists (select from tasker.every_gated_namespace)
            and (
                select t.namespace
                from tasker.tasks t
                where t.task_id = s.task_id
            ) in (select g.namespace from tasker.every_gated_namespace g)
    from satisfied s
    cross join lateral (
        select *
        from tasker.steps c
        where c.task_id = s.task_id
          and c.name = s.child
          and c.state = 'pending'
        offset 0
    ) c
$$;
comment on function tasker.waiting_children(tasker.settled_step[]) is
    'The waiting children of satisfied steps: by how many (n) each is counted down, whether it is '
    'ready then, and whether its namespace takes no steps now.';
