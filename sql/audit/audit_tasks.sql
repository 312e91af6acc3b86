create function tasker.audit_tasks() returns trigger
-- enable_nestloop: see audit_steps.
language plpgsql security definer set search_path = '' set enable_nestloop = off set jit = off as $$
declare
    v_now     timestamptz := tasker.now();
    v_actor   uuid := nullif(current_setting('tasker.actor', true), '')::uuid;
    v_reason  text := nullif(current_setting('tasker.reason', true), '');
    v_bad     record;
begin
    with moved as materialized (
        select n.task_id, o.state as from_state, n.state as to_state, r.via,
               case when n.state in ('error', 'blocked_by_failures') then left(n.error ->> 'message', 500) end as failure
          from new_rows n
          join old_rows o on o.task_id = n.task_id
          -- An update that raises move_no names its hops; any other is one hop.
          left join tasker.task_moves r on r.from_state = o.state and r.to_state = n.state
               and r.via = case when n.move_no <> o.move_no then n.via else '{}' end
         where n.state <> o.state or n.move_no <> o.move_no
    ), written as (
        insert into tasker.task_transitions (task_id, from_state, to_state, actor_id, reason, at)
        select m.task_id, (m.from_state || m.via)[h.n], h.to_state, v_actor, coalesce(v_reason, m.failure), v_now
          from moved m
         cross join lateral unnest(m.via || m.to_state) with ordinality h(to_state, n)
         where m.via is not null
         order by m.task_id, h.n
    )
    select m.* into v_bad from moved m where m.via is null limit 1;
    if found then
        raise exception 'task % cannot move from % to %', v_bad.task_id, v_bad.from_state, v_bad.to_state
            using errcode = 'TK020', hint = 'Use the functions of schema tasker; the legal moves are in tasker.task_moves.';
    end if;
    return null;
end
$$;
comment on function tasker.audit_tasks() is 'Trigger: writes one audit row for every hop of the updated tasks and rejects moves that are not in tasker.task_moves.';

create trigger audit after update on tasker.tasks
    referencing old table as old_rows new table as new_rows
    for each statement execute function tasker.audit_tasks();
alter table tasker.tasks enable always trigger audit;
