create function tasker.send_or_hold(
    p_task_ids  uuid[],
    p_steps     text[],
    p_held      boolean[],
    out sent    int,
    out held    int
)
language plpgsql volatile as $$
declare
    v_task_ids    uuid[];
    v_steps       text[];
    v_held_tasks  uuid[];
    v_held_steps  text[];
begin
    if true = any (p_held) then
        select
            array_agg(i.task_id) filter (where not i.held),
            array_agg(i.step) filter (where not i.held),
            array_agg(i.task_id) filter (where i.held),
            array_agg(i.step) filter (where i.held)
        into v_task_ids, v_steps, v_held_tasks, v_held_steps
        from unnest(p_task_ids, p_steps, p_held) i(task_id, step, held);
        perform tasker.hold_steps(v_held_tasks, v_held_steps);
        perform tasker.send_steps(v_task_ids, v_steps);
    else
        perform tasker.send_steps(p_task_ids, p_steps);
    end if;

    held := coalesce(cardinality(v_held_tasks), 0);
    sent := cardinality(p_task_ids) - held;
end
$$;
comment on function tasker.send_or_hold(uuid[], text[], boolean[]) is
    'Sends ready steps, or records those that are held back, for enqueue_ready_steps.';
