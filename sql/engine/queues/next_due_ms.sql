create function tasker.next_due_ms()
returns bigint
language plpgsql volatile as $$
begin
    return least(
        -- The first in the index, not a minimum over all that wait.
        tasker.ms_until((
            select r.available_at
            from tasker.every_ready_step r
            where r.available_at is not null
            order by r.available_at
            limit 1
        )),
        -- Nothing announces that a queue has room again: look ten times a second while something
        -- waits for it.
        case
            when exists (
                select
                from tasker.namespaces n
                where n.paused_at is null
                  and exists (select from tasker.held_steps h where h.namespace = n.namespace)
            ) then 100
        end
    );
end
$$;
comment on function tasker.next_due_ms() is
    'Milliseconds until enqueue_ready_steps may have something to send; null: not known.';
