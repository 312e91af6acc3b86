create function tasker.new_steps(p_nodes tasker.new_node[])
returns table (
    node        tasker.new_node,
    name        text,
    instance    int,
    inputs      jsonb,
    waiting_on  int
)
-- Stable, in SQL, and without settings of its own, so that it becomes part of the statement that
-- calls it.
language sql stable as $$
    with batches as materialized (
        -- Each batch is read and counted once, however many steps come after it.
        select * from tasker.node_batches(p_nodes)
    )
    -- One row for each node,
    select n, n.step, null::int, null::jsonb, w.waiting_on
    from unnest(p_nodes) n
    -- The parents are read in their present state, which includes what the caller has just
    -- settled. Nothing that is made now is satisfied.
    cross join lateral (
        select coalesce(sum(
            case
                when parent.type = 'batch_worker' then (
                    select b.open
                    from batches b
                    where b.task_id = n.task_id
                      and b.step = e.parent
                )
                else (
                    select case
                        when count(*) = 0 then 1
                        else count(*) filter (where not s.satisfied)
                    end
                    from tasker.steps s
                    where s.task_id = n.task_id
                      and s.name = e.parent
                )
            end
        ), 0)::int as waiting_on
        from unnest(n.parents) e(parent)
        cross join lateral tasker.template_step(n.template_id, e.parent) parent
    ) w
    where n.type <> 'batch_worker'
    union all
    -- and one for each instance of a batch_worker.
    select b.node, tasker.instance_name(b.step, c.n), c.n::int, c.cursor, 0
    from batches b
    cross join lateral jsonb_array_elements(b.cursors) with ordinality c(cursor, n)
$$;
comment on function tasker.new_steps(tasker.new_node[]) is
    'The rows to create for steps that exist by now, with what they wait for. '
    'instance, inputs: the number and the cursor of an instance of a batch.';
