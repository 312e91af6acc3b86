create function tasker.unpark_steps(p_task_ids uuid[], p_steps text[] default null)
returns void
language plpgsql volatile as $$
begin
    -- A step that is being claimed at this moment is left to its claim, which finds that it has
    -- ended.
    with free as materialized (
        select p.parked_no
        from tasker.parked_steps p
        where p.task_id = any (p_task_ids)
          and (p_steps is null or p.step = any (p_steps))
        for update skip locked
    )
    delete from tasker.parked_steps p
    using free f
    where p.parked_no = f.parked_no;
end
$$;
comment on function tasker.unpark_steps(uuid[], text[]) is
    'Forgets the parked steps of tasks that have ended, or these of their steps. Never waits.';
