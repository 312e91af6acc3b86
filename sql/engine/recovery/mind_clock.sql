create function tasker.mind_clock(p_max int, p_now timestamptz)
returns void
language plpgsql volatile as $$
declare
    v_last   timestamptz;
    v_queue  text;
begin
    perform tasker.shorten_waits(p_max, p_now);

    -- The clock has gone back if the last sweep ran at a time that has not come yet.
    select sweep.ran_at
    into v_last
    from tasker.sweeps sweep
    where sweep.name = 'clock'
    for no key update skip locked;
    if not found then
        return;
    end if;
    update tasker.sweeps sweep
    set ran_at = p_now
    where sweep.name = 'clock';
    if v_last is null or v_last <= p_now + interval '5 s' then
        return;
    end if;

    -- Put right, once: the queues, and the rows that were handed out until a time.
    raise log 'the clock of the server has gone back by % or more', v_last - p_now;
    for v_queue in
        select queue.name
        from (
            select tasker.worker_queue(namespace.namespace) as name
            from tasker.namespaces namespace
            union all
            select tasker.events_queue(namespace.namespace)
            from tasker.namespaces namespace
            where namespace.events
            union all
            values ('orchestration_task_requests'), ('orchestration_step_results')
        ) queue
        where tasker.has_queue(queue.name)
    loop
        begin
            perform tasker.show_messages(v_queue);
        exception when others then
            if not tasker.may_divide(sqlstate, sqlerrm) then
                raise;
            end if;
        end;
    end loop;

    update tasker.held_requests request
    set next_at = p_now
    where request.next_at > p_now + interval '31 s';
    update tasker.slow_results result
    set next_at = p_now
    where result.next_at > p_now + interval '10 minutes';
end
$$;
comment on function tasker.mind_clock(int, timestamptz) is
    'After the server''s clock has gone back, shortens the waits that would last until it has '
    'caught up: retries, claims, delayed messages.';
