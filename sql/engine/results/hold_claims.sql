create function tasker.hold_claims(
    p_task_ids   uuid[],
    p_steps      text[],
    p_claim_nos  int[],
    p_wait       interval,
    out held     int[],
    out decides  boolean
)
language plpgsql volatile as $$
begin
    -- Locked in key order, so that two submits of the same steps cannot wait for each other in a
    -- circle. A step that somebody holds is busy: only a caller in a transaction of its own waits
    -- for it, and not for long.
    for v_try in 1 .. 2 loop
        select array_agg(i.n), coalesce(bool_or(s.decides), false)
        into held, decides
        from (
            select distinct on (1, 2, 3) *
            from unnest(p_task_ids, p_steps, p_claim_nos)
                with ordinality i(task_id, step, claim_no, n)
            order by 1, 2, 3, 4
        ) i
        cross join lateral (
            select s.decides
            from tasker.steps s
            where s.task_id = i.task_id
              and s.name = i.step
              and s.claim_no = i.claim_no
              and s.state = 'in_progress'
            for no key update skip locked
        ) s;
        exit when held is not null
            or not tasker.wait_for_steps(p_task_ids, p_steps, p_claim_nos, p_wait);
    end loop;
end
$$;
comment on function tasker.hold_claims(uuid[], text[], int[], interval) is
    'Locks the steps that are still in progress under these claims, except those locked by others. '
    'held: the places of their claims, from 1; null: no step. '
    'decides: one of them decides which steps are created.';
