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
    v_made   record;
    v_known  jsonb[];
begin
    v_made := tasker.made_nodes(p_task_ids, false);
    v_known := v_made.known;

    -- The other steps follow from their parents, which are on lower levels.
    for v_level in coalesce(v_made.first_level, 1) .. coalesce(v_made.last_level, 0) loop
        v_known := (
            tasker.judge_level(v_made.task_ids, v_made.template_ids, v_known, v_level)
        ).known;
    end loop;

    return query
        select k.*
        from unnest(v_made.task_ids, v_made.template_ids, v_known, v_made.made) k;
end
$$;
comment on function tasker.task_graphs(uuid[]) is
    'For each of these tasks with a dynamic template: known: every step of the template by name, '
    'as exists, undecided (a decision or batchable above it has not ended), or not_chosen; made: '
    'those whose row, or whose instances, exist already.';
