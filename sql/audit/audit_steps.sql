create function tasker.audit_steps() returns trigger
-- Without enable_nestloop = off the join of the two transition tables, once planned for one row, goes quadratic:
-- 10,000 rows took 11.9 s instead of 42 ms.
language plpgsql security definer set search_path = '' set enable_nestloop = off set jit = off as $$
declare
    v_now     timestamptz := tasker.now();
    v_actor   uuid := nullif(current_setting('tasker.actor', true), '')::uuid;
    v_reason  text := nullif(current_setting('tasker.reason', true), '');
    v_bad     record;
begin
    -- One pass over the moves: the legal ones are written, the first illegal one comes back.
    with moved as materialized (
        select n.task_id, n.name, o.state as from_state, n.state as to_state, n.attempt, r.via,
               case when n.state in ('enqueued_for_orchestration', 'error', 'pending') then left(n.error ->> 'message', 500) end as failure
          from new_rows n
          join old_rows o on o.task_id = n.task_id and o.name = n.name
          left join tasker.step_moves r on r.from_state = o.state and r.to_state = n.state
         where n.state <> o.state or n.claim_no <> o.claim_no
    ), written as (
        insert into tasker.step_transitions (task_id, name, from_state, to_state, attempt, actor_id, reason, at)
        select m.task_id, m.name, (m.from_state || m.via)[h.n], h.to_state, m.attempt, v_actor, coalesce(v_reason, m.failure), v_now
          from moved m
         cross join lateral unnest(m.via || m.to_state) with ordinality h(to_state, n)
         where m.via is not null
         order by m.task_id, m.name, h.n
    )
    select m.* into v_bad from moved m where m.via is null limit 1;
    if found then
        raise exception 'step % of task % cannot move from % to %', v_bad.name, v_bad.task_id, v_bad.from_state, v_bad.to_state
            using errcode = 'TK020', hint = 'Use the functions of schema tasker; the legal moves are in tasker.step_moves.';
    end if;
    return null;
end
$$;
comment on function tasker.audit_steps() is 'Trigger: writes one audit row for every hop of the updated steps and rejects moves that are not in tasker.step_moves.';

create trigger audit after update on tasker.steps
    referencing old table as old_rows new table as new_rows
    for each statement execute function tasker.audit_steps();
alter table tasker.steps enable always trigger audit;
