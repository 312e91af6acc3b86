create function tasker.unmade_nodes(
    p_task_ids  uuid[],
    p_begin     boolean,
    p_now       timestamptz
)
returns tasker.new_node[]
-- The one rule of dynamic graphs, as in task_graphs, which only looks: here conditions are judged.
language plpgsql volatile as $$
declare
    v_made   record := tasker.made_nodes(p_task_ids, p_begin);
    v_known  jsonb[] := v_made.known;
    v_next   jsonb[] := v_made.next;
    v_new    record;
    v_nodes  tasker.new_node[];
begin
    loop
        v_new := tasker.judge_edges(v_made.task_ids, v_made.template_ids, v_known, v_next);
        exit when not v_new.any_added;
        if v_new.any_ready then
            v_new.added := tasker.judge_steps(
                v_made.task_ids, v_made.template_ids, v_new.added, p_now);
        end if;
        v_known := tasker.join_known(v_known, v_new.added);
        v_next := tasker.next_steps(v_made.template_ids, v_known, v_new.added);
    end loop;

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
              and g.known ->> e.parent in ('exists', 'skipped')
        ),
        tmpl.reveals,
        case
            when tmpl.conditional then (
                select verdict.reason
                from tasker.step_verdicts verdict
                where verdict.task_id = g.task_id
                  and verdict.step = n.step
                  and verdict.holds is null
            )
        end)::tasker.new_node)
    into v_nodes
    from unnest(v_made.task_ids, v_made.template_ids, v_known, v_made.made)
        g(task_id, template_id, known, made)
    cross join lateral jsonb_each_text(g.known) n(step, presence)
    cross join lateral tasker.template_step(g.template_id, n.step) tmpl
    where n.presence = 'exists'
      and not g.made ? n.step;
    return v_nodes;
end
$$;
comment on function tasker.unmade_nodes(uuid[], boolean, timestamptz) is
    'The steps of dynamic tasks that exist by now and have no row yet, after judging all '
    'conditions that can be. p_begin: the tasks begin now. Null: no such step.';
