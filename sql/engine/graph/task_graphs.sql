create function tasker.task_graphs(p_task_ids uuid[])
returns table (
    task_id      uuid,
    template_id  uuid,
    known        jsonb,
    made         jsonb
)
-- The one rule of dynamic graphs: docs/decisions.md, "What exists".
language plpgsql stable as $$
declare
    v_made   record := tasker.made_nodes(p_task_ids, false);
    v_known  jsonb[] := v_made.known;
    v_next   jsonb[] := v_made.next;
    v_new    record;
begin
    -- The other steps follow from their parents, those that depend on them from them.
    loop
        v_new := tasker.judge_edges(v_made.task_ids, v_made.template_ids, v_known, v_next);
        exit when not v_new.any_added;
        v_known := tasker.join_known(v_known, v_new.added);
        v_next := tasker.next_steps(v_made.template_ids, v_known, v_new.added);
    end loop;

    return query
        select
            k.task_id,
            k.template_id,
            coalesce((
                -- What is ready is judged by the next commit that makes steps.
                select jsonb_object_agg(n.name, 'undecided')
                from jsonb_array_elements_text(k.others) n(name)
            ), '{}') || (k.known - array(
                select r.step from jsonb_each_text(k.known) r(step, presence)
                where r.presence = 'ready')),
            k.made
        from unnest(
            v_made.task_ids, v_made.template_ids, v_known, v_made.next, v_made.made)
            k(task_id, template_id, known, others, made);
end
$$;
comment on function tasker.task_graphs(uuid[]) is
    'For each of these tasks with a dynamic template: known: every step of the template by name, '
    'as exists, undecided (a decision or batchable above it has not ended), or not_chosen; made: '
    'those whose row, or whose instances, exist already.';
