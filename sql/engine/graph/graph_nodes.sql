create function tasker.graph_nodes(p_task_ids uuid[])
returns table (
    task_id      uuid,
    template_id  uuid,
    step         text,
    presence     text,
    made         boolean
)
language sql stable as $$
    select
        g.task_id,
        g.template_id,
        n.step,
        n.presence,
        g.made ? n.step
    from tasker.task_graphs(p_task_ids) g
    cross join lateral jsonb_each_text(g.known) n(step, presence)
$$;
comment on function tasker.graph_nodes(uuid[]) is 'task_graphs, a row for each step.';
