create function tasker.node_batches(p_nodes tasker.new_node[])
returns table (
    task_id  uuid,
    step     text,
    open     bigint,
    cursors  jsonb,
    node     tasker.new_node
)
-- Stable, in SQL, and without settings of its own, so that it becomes part of the statement that
-- calls it.
language sql stable as $$
    -- Batches whose instances are made now,
    select
        n.task_id,
        n.step,
        jsonb_array_length(c.cursors)::bigint,
        c.cursors,
        n
    from unnest(p_nodes) n
    cross join lateral tasker.batch_cursors(n.task_id, n.template_id, n.step) c
    where n.type = 'batch_worker'
    union all
    -- and parents whose instances are there already.
    select
        m.task_id,
        m.step,
        (
            select count(*)
            from tasker.steps s
            where s.task_id = m.task_id
              and s.template_step = m.step
              and not s.satisfied
        ),
        null,
        null
    from (
        select n.task_id, e.parent as step
        from unnest(p_nodes) n
        cross join lateral unnest(n.parents) e(parent)
        cross join lateral tasker.template_step(n.template_id, e.parent) parent
        where parent.type = 'batch_worker'
        except
        select n.task_id, n.step
        from unnest(p_nodes) n
    ) m
$$;
comment on function tasker.node_batches(tasker.new_node[]) is
    'The batches among new steps and their parents. open: how many instances are not satisfied. '
    'cursors, node: set if the instances are still to be created.';
