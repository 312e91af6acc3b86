create function tasker.unmade_nodes(p_task_ids uuid[])
returns tasker.new_node[]
language plpgsql stable as $$
declare
    v_nodes  tasker.new_node[];
begin
    select array_agg(row(
        g.task_id,
        g.template_id,
        n.step,
        tmpl.type,
        tmpl.level,
        tmpl.position,
        tmpl.max_attempts,
        array(
            select e.parent
            from tasker.template_edges e
            where e.template_id = g.template_id
              and e.child = n.step
              and g.known ->> e.parent = 'exists'
        ))::tasker.new_node)
    into v_nodes
    from tasker.task_graphs(p_task_ids) g
    cross join lateral jsonb_each_text(g.known) n(step, presence)
    cross join lateral tasker.template_step(g.template_id, n.step) tmpl
    where n.presence = 'exists'
      and not g.made ? n.step;
    return v_nodes;
end
$$;
comment on function tasker.unmade_nodes(uuid[]) is
    'The steps of dynamic tasks that exist by now and have no row yet. '
    'Null: no such step.';
