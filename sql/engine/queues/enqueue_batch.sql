create function tasker.enqueue_batch(p_max int, p_only text default null)
returns int
language plpgsql volatile as $$
declare
    v_now       timestamptz := tasker.clock();
    v_locked    uuid[];
    v_task_ids  uuid[];
    v_steps     text[];
    v_held      boolean[];
begin
    select array_agg(d.task_id), array_agg(d.step), array_agg(d.held)
    into v_task_ids, v_steps, v_held
    from (
        -- By priority among the steps that have been due for longest: to choose among all of them
        -- would sort them all at each call.
        (
            select r.task_id, r.step, false as held
            from (
                select *
                from tasker.every_ready_step r
                where r.available_at <= v_now
                  and r.namespace not in (select g.namespace from tasker.every_gated_namespace g)
                  and (p_only is null or r.namespace = p_only)
                order by r.available_at
                limit p_max * 4
            ) r
            order by r.priority desc, r.available_at
            limit p_max
        )
        union all
        select h.task_id, h.step, true
        from tasker.open_held_steps(p_max, p_only) h
    ) d;

    -- At most 100 tasks a transaction, and none that somebody holds, so that this never blocks
    -- the hot path.
    with free as materialized (
        select t.task_id
        from tasker.tasks t
        where t.task_id in (
            select i.task_id
            from unnest(v_task_ids) with ordinality i(task_id, n)
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

    -- Move the steps, count them for their tasks, and take them from the held steps.
    with moved as (
        update tasker.steps s
        set state = 'enqueued',
            available_at = null,
            enqueued_at = v_now,
            updated_at = v_now
        from (
            select distinct on (i.task_id, i.step) i.*
            from unnest(v_task_ids, v_steps, v_held) with ordinality i(task_id, step, held, n)
            where i.task_id = any (v_locked)
            order by i.task_id, i.step, i.held desc
        ) d
        where s.task_id = d.task_id
          and s.name = d.step
          and s.state = 'pending'
          and s.waiting_on = 0
          -- What was read before the lock may be out of date: by now the step may have been sent,
          -- have failed, and wait for its time.
          and case when d.held then s.available_at is null else s.available_at <= v_now end
        returning s.task_id, s.name, not d.held and s.error is not null as is_retry, d.n
    ), counted as (
        select
            m.task_id,
            count(*) as n,
            count(*) filter (where m.is_retry) as retries
        from moved m
        group by m.task_id
    ), evaluated as (
        update tasker.tasks t
        set active = t.active + c.n,
            waiting_retry = t.waiting_retry - c.retries,
            held = t.held - (c.n - c.retries),
            state = 'steps_in_process',
            move_no = t.move_no + 1,
            updated_at = v_now,
            via = case
                when t.state = 'waiting_for_retry' then '{enqueuing_steps}'
                else '{evaluating_results,enqueuing_steps}'
            end::tasker.task_state[]
        from counted c
        where t.task_id = c.task_id
    ), taken as (
        -- The steps that are held no longer, those of finished tasks too.
        delete from tasker.held_steps h
        using unnest(v_task_ids, v_steps, v_held) i(task_id, step, held)
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
          )
    )
    select array_agg(m.task_id order by m.n), array_agg(m.name order by m.n)
    into v_task_ids, v_steps
    from moved m;

    perform tasker.send_steps(v_task_ids, v_steps);
    return coalesce(cardinality(v_task_ids), 0);
end
$$;
comment on function tasker.enqueue_batch(int, text) is
    'The work of enqueue_ready_steps for one batch, all or nothing; p_only: of one namespace.';
