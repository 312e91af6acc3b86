create function tasker.audit_tasks()
returns trigger
-- Everybody who changes the table runs this, a superuser too: no operator of somebody else's may
-- be found before the right one.
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_now     timestamptz := tasker.clock();
    v_actor   uuid := nullif(current_setting('tasker.actor', true), '')::uuid;
    v_reason  text := nullif(current_setting('tasker.reason', true), '');
begin
    insert into tasker.task_transitions (
        task_id,
        from_state,
        to_state,
        actor_id,
        reason,
        at
    )
    select
        m.task_id,
        p.hops[h.n],
        h.to_state,
        v_actor,
        coalesce(v_reason, m.failure),
        v_now
    -- audit_steps says why this is a full join.
    from (
        select
            n.task_id,
            o.state as from_state,
            n.state as to_state,
            n.via,
            n.move_no <> o.move_no as moved,
            case
                when n.state in ('error', 'blocked_by_failures') then
                    left(n.error ->> 'message', 500)
            end as failure
        from new_rows n
        full join old_rows o on o.task_id = n.task_id
        offset 0
    ) m
    -- An update that raises move_no names its hops; any other is one hop.
    cross join lateral (
        select coalesce(
            (
                select m.from_state || r.via || m.to_state
                from tasker.task_moves r
                where r.from_state = m.from_state
                  and r.to_state = m.to_state
                  and r.via = case when m.moved then m.via else '{}' end
            ),
            tasker.refuse_task_move(m.task_id, m.from_state, m.to_state)
        ) as hops
        offset 0
    ) p
    cross join lateral unnest(p.hops[2:]) with ordinality h(to_state, n)
    where m.from_state <> m.to_state
       or m.moved;
    return null;
end
$$;
comment on function tasker.audit_tasks() is
    'Trigger: writes one audit row for every hop of the updated tasks '
    'and rejects moves that are not in tasker.task_moves.';

create trigger audit
    after update on tasker.tasks
    referencing old table as old_rows new table as new_rows
    for each statement execute function tasker.audit_tasks();
alter table tasker.tasks enable always trigger audit;
