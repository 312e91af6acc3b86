create function tasker.enqueue_batch(p_max int, p_only text default null)
returns int
language plpgsql volatile as $$
declare
    v_now     timestamptz := tasker.clock();
    v_due     record;
    v_locked  uuid[];
    v_moved   record;
begin
    v_due := tasker.due_steps(p_max, p_only, v_now);
    if v_due.task_ids is null then
        return 0;
    end if;

    -- At most 100 tasks a transaction, and none that somebody holds, so that this never blocks
    -- the hot path.
    with free as materialized (
        select t.task_id
        from tasker.tasks t
        where t.task_id in (
            select i.task_id
            from unnest(v_due.task_ids) with ordinality i(task_id, n)
            group by i.task_id
            order by min(i.n)
            limit 100
          )
          and t.completed_at is null
        order by t.task_id
        for no key update skip locked
    )
    select array_agg(f.task_id)
    into v_locked
    from free f;

    v_moved := tasker.move_due_steps(v_due.task_ids, v_due.steps, v_due.held, v_locked, v_now);

    -- The steps that are held no longer, those of finished tasks too.
    if true = any (v_due.held) then
        delete from tasker.held_steps h
        using unnest(v_due.task_ids, v_due.steps, v_due.held) i(task_id, step, held)
        where h.task_id = i.task_id
          and h.step = i.step
          and i.held
          and (
            i.task_id = any (v_locked)
            or exists (
                select
                from tasker.tasks t
                where t.task_id = i.task_id
                  and t.completed_at is not null
            )
          );
    end if;

    perform tasker.send_steps(v_moved.task_ids, v_moved.steps);
    return coalesce(cardinality(v_moved.task_ids), 0);
end
$$;
comment on function tasker.enqueue_batch(int, text) is
    'The work of enqueue_ready_steps for one batch, all or nothing; p_only: of one namespace.';
