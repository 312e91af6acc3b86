create function tasker.audit_new_steps()
returns trigger
-- Everybody who changes the table runs this, a superuser too: no operator of somebody else's may
-- be found before the right one.
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_bad  record;
begin
    select n.*
    into v_bad
    from new_rows n
    where n.state not in ('pending', 'enqueued')
       or n.claim_no <> 0
       or n.satisfied
    limit 1;
    if found then
        raise exception
            'step % of task % cannot begin in state %',
            v_bad.name,
            v_bad.task_id,
            v_bad.state
            using errcode = 'TK022',
                  hint = 'A step begins in pending, or goes straight from there to enqueued.';
    end if;

    insert into tasker.step_transitions (
        task_id,
        name,
        from_state,
        to_state,
        attempt,
        actor_id,
        reason,
        at
    )
    select
        n.task_id,
        n.name,
        'pending',
        'enqueued',
        0,
        nullif(current_setting('tasker.actor', true), '')::uuid,
        nullif(current_setting('tasker.reason', true), ''),
        tasker.clock()
    from new_rows n
    where n.state = 'enqueued';
    return null;
end
$$;
comment on function tasker.audit_new_steps() is
    'Trigger: a step begins in pending; one inserted as enqueued has its first hop audited.';

create trigger audit_new
    after insert on tasker.steps
    referencing new table as new_rows
    for each statement execute function tasker.audit_new_steps();
alter table tasker.steps enable always trigger audit_new;
