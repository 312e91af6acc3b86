create function tasker.create_steps(
    p_task_ids       uuid[],
    p_now            timestamptz,
    p_later          boolean,
    p_begin          boolean default false,
    out made_tasks   uuid[],
    out made_counts  int[],
    out ready_tasks  uuid[],
    out ready_steps  text[],
    out ready_held   boolean[],
    out ended_tasks  uuid[],
    out due_tasks    uuid[],
    out due          timestamptz
)
language plpgsql volatile as $$
declare
    v_nodes  tasker.new_node[] := tasker.unmade_nodes(p_task_ids, p_begin, p_now);
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
            reveals,
            state,
            waiting_on,
            max_attempts,
            available_at,
            enqueued_at,
            error,
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
            (r.node).reveals,
            (case task.turn when 'now' then 'enqueued' else 'pending' end)::tasker.step_state,
            r.waiting_on,
            (r.node).max_attempts,
            case task.turn when 'due' then task.due end,
            case task.turn when 'now' then p_now end,
            (r.node).error,
            p_now,
            p_now
        from tasker.new_steps(v_nodes) r
        cross join lateral (
            select
                case
                    when r.waiting_on > 0 or (r.node).error is not null then 'waits'
                    when p_later or p_begin and t.run_at > p_now then 'due'
                    when t.namespace in (select g.namespace from tasker.every_gated_namespace g)
                        then 'held'
                    else 'now'
                end as turn,
                -- A step without parents waits for the start of its task.
                case when p_later then p_now else t.run_at end as due
            from tasker.tasks t
            where t.task_id = (r.node).task_id
            offset 0
        ) task
        order by (r.node).task_id, (r.node).level, (r.node).position, r.instance
        returning
            task_id,
            name,
            waiting_on = 0 and available_at is null and error is null as ready,
            available_at,
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
        array_agg(m.task_id) filter (where m.available_at is not null),
        min(m.available_at),
        (select array_agg(c.task_id order by c.task_id) from counted c),
        (select array_agg(c.n order by c.task_id) from counted c)
    into ready_tasks, ready_steps, ready_held, due_tasks, due, made_tasks, made_counts
    from made m;

    ended_tasks := tasker.fail_judged(v_nodes, p_now);
    perform tasker.drop_taken_cursors(v_nodes);
end
$$;
comment on function tasker.create_steps(uuid[], timestamptz, boolean, boolean) is
    'Judges the conditions that can be, and creates the missing rows of steps that exist by now in '
    'dynamic tasks, with what they wait for; the caller counts and sends them. p_later: ready '
    'steps are left to the sweep (available_at). p_begin: the tasks begin now; due: those that '
    'wait for their start time. ended: a task for each step that has failed at once. Idempotent. '
    'The caller holds the tasks.';
