create function tasker.make_judged_roots(
    p_task_ids  uuid[],
    p_now       timestamptz,
    p_made      tasker.first_steps
)
returns tasker.first_steps
language plpgsql volatile as $$
declare
    v_judged  record := tasker.create_steps(p_task_ids, p_now, false, true);
begin
    select array_agg(row(c.task_id, c.steps, c.active, c.held)::tasker.begun_task)
    into p_made.begun
    from (
        select
            c.task_id,
            sum(c.steps)::int as steps,
            sum(c.active)::int as active,
            sum(c.held)::int as held
        from (
            select * from unnest(p_made.begun)
            union all
            select m.task_id, m.n, 0, 0
            from unnest(v_judged.made_tasks, v_judged.made_counts) m(task_id, n)
            union all
            select r.task_id, 0, (not r.held)::int, r.held::int
            from unnest(v_judged.ready_tasks, v_judged.ready_held) r(task_id, held)
            union all
            select d.task_id, 0, 0, 1 from unnest(v_judged.due_tasks) d(task_id)
            union all
            select e.task_id, 0, 1, 0 from unnest(v_judged.ended_tasks) e(task_id)
        ) c
        group by c.task_id
    ) c;

    select
        p_made.ready_tasks || (array_agg(r.task_id) filter (where not r.held)),
        p_made.ready_steps || (array_agg(r.step) filter (where not r.held)),
        p_made.held_tasks || (array_agg(r.task_id) filter (where r.held)),
        p_made.held_steps || (array_agg(r.step) filter (where r.held))
    into p_made.ready_tasks, p_made.ready_steps, p_made.held_tasks, p_made.held_steps
    from unnest(v_judged.ready_tasks, v_judged.ready_steps, v_judged.ready_held)
        r(task_id, step, held);
    p_made.due := least(p_made.due, v_judged.due);
    return p_made;
end
$$;
comment on function tasker.make_judged_roots(uuid[], timestamptz, tasker.first_steps) is
    'Judges the conditions of steps without parents in new tasks, makes those that exist, and adds '
    'them to p_made.';
