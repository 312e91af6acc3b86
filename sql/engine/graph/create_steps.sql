create function tasker.create_steps(
    p_task_ids       uuid[],
    p_now            timestamptz,
    p_later          boolean,
    out made_tasks   uuid[],
    out made_counts  int[],
    out ready_tasks  uuid[],
    out ready_steps  text[],
    out ready_held   boolean[]
)
language plpgsql volatile as $$
declare
    v_nodes  tasker.new_node[] := tasker.unmade_nodes(p_task_ids);
begin
    if v_nodes is null then
        return;
    end if;

    with made as (
        insert into tasker.steps (
            task_id,
            name,
            template_step,
            instance,
            inputs,
            decides,
            state,
            waiting_on,
            max_attempts,
            available_at,
            enqueued_at,
            updated_at,
            created_at
        )
        select
            (r.node).task_id,
            r.name,
            (r.node).step,
            r.instance,
            r.inputs,
            (r.node).type in ('decision', 'batchable'),
            (case
                when r.waiting_on = 0 and not p_later and not task.gated then 'enqueued'
                else 'pending'
            end)::tasker.step_state,
            r.waiting_on,
            (r.node).max_attempts,
            case when r.waiting_on = 0 and p_later then p_now end,
            case when r.waiting_on = 0 and not p_later and not task.gated then p_now end,
            p_now,
            p_now
        from tasker.new_steps(v_nodes) r
        cross join lateral (
            select t.namespace in (select g.namespace from tasker.every_gated_namespace g) as gated
            from tasker.tasks t
            where t.task_id = (r.node).task_id
            offset 0
        ) task
        order by (r.node).task_id, (r.node).level, (r.node).position, r.instance
        returning
            task_id,
            name,
            waiting_on = 0 and not p_later as ready,
            state = 'pending' as held
    ), counted as (
        select m.task_id, count(*)::int as n
        from made m
        group by m.task_id
    )
    select
        array_agg(m.task_id) filter (where m.ready),
        array_agg(m.name) filter (where m.ready),
        array_agg(m.held) filter (where m.ready),
        (select array_agg(c.task_id order by c.task_id) from counted c),
        (select array_agg(c.n order by c.task_id) from counted c)
    into ready_tasks, ready_steps, ready_held, made_tasks, made_counts
    from made m;

    if exists (select from unnest(v_nodes) n where n.type = 'batch_worker') then
        perform tasker.drop_taken_cursors(v_nodes);
    end if;
end
$$;
comment on function tasker.create_steps(uuid[], timestamptz, boolean) is
    'Creates the missing rows of steps that exist by now in dynamic tasks, with what they wait '
    'for; the caller counts and sends them. p_later: ready steps are left to the sweep '
    '(available_at). Idempotent. The caller holds the tasks.';
