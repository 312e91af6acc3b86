create function tasker.advance_resolved(
    p_task_id  uuid,
    p_step     text,
    p_reveals  boolean,
    p_now      timestamptz
)
returns void
language plpgsql volatile as $$
begin
    -- Children wait for one step less; a child that waited only for this one is ready.
    update tasker.steps c
    set waiting_on = c.waiting_on - 1,
        available_at = case when c.waiting_on = 1 then p_now end,
        updated_at = p_now
    from (
        select n.name
        from tasker.child_steps(p_task_id, p_step) n
        where n.state = 'pending'
    ) n
    where c.task_id = p_task_id
      and c.name = n.name;

    if p_reveals then
        perform tasker.create_steps(array[p_task_id], p_now, true);
    end if;
    perform tasker.recount_tasks(array[p_task_id]);
end
$$;
comment on function tasker.advance_resolved(uuid, text, boolean, timestamptz) is
    'Applies a step that was settled by hand: its children are counted down or created, and the '
    'task is evaluated. The caller holds the task.';
