create function tasker.move_due_steps(
    inout task_ids  uuid[],
    inout steps     text[],
    p_held          boolean[],
    p_locked        uuid[],
    p_now           timestamptz
)
language plpgsql volatile as $$
begin
    with moved as (
        update tasker.steps s
        set state = 'enqueued',
            available_at = null,
            enqueued_at = p_now,
            updated_at = p_now
        from (
            select distinct on (i.task_id, i.step) i.*
            from unnest(task_ids, steps, p_held) with ordinality i(task_id, step, held, n)
            where i.task_id = any (p_locked)
            order by i.task_id, i.step, i.held desc
        ) d
        where s.task_id = d.task_id
          and s.name = d.step
          and s.state = 'pending'
          and s.waiting_on = 0
          -- What was read before the lock may be out of date: by now the step may have been sent,
          -- have failed, and wait for its time.
          and case when d.held then s.available_at is null else s.available_at <= p_now end
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
            updated_at = p_now,
            via = case
                when t.state = 'waiting_for_retry' then '{enqueuing_steps}'
                else '{evaluating_results,enqueuing_steps}'
            end::tasker.task_state[]
        from counted c
        where t.task_id = c.task_id
    )
    select array_agg(m.task_id order by m.n), array_agg(m.name order by m.n)
    into task_ids, steps
    from moved m;
end
$$;
comment on function tasker.move_due_steps(
    uuid[], text[], boolean[], uuid[], timestamptz
) is
    'Moves those steps of locked tasks that are still due to enqueued and counts them for their '
    'tasks. Returns those that were moved, in the order given.';
