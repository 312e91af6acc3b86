-- for: orchestrator
-- planner: plan_cache_mode = force_generic_plan, enable_seqscan = off, jit = off
create function tasker.enqueue_ready_steps(p_max int, p_orchestrator_id uuid default null)
returns table (enqueued int, next_due_ms bigint)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '100ms'
as $$
declare
    v_namespace  text;
    v_error      text;
begin
    perform tasker.refuse_isolation();
    if tasker.limits() is not null then
        perform tasker.refuse_limited();
    end if;
    perform tasker.check_max(p_max);
    perform tasker.set_actor(p_orchestrator_id);

    begin
        perform tasker.hold_due_steps(p_max, tasker.clock());
        enqueued := tasker.enqueue_batch(p_max);
    exception when others then
        if not tasker.may_divide(sqlstate, sqlerrm) then
            raise;
        end if;
        v_error := format('%s (SQLSTATE %s)', sqlerrm, sqlstate);
    end;

    -- An error in one namespace stays there, so each namespace gets a batch of its own.
    if v_error is not null then
        enqueued := 0;
        for v_namespace in
            select n.namespace
            from tasker.namespaces n
            order by n.namespace
        loop
            begin
                enqueued := enqueued + tasker.enqueue_batch(p_max, v_namespace);
            exception when others then
                if not tasker.may_divide(sqlstate, sqlerrm) then
                    raise;
                end if;
                v_error := format(
                    'namespace %s: %s (SQLSTATE %s)', v_namespace, sqlerrm, sqlstate
                );
            end;
        end loop;
        if enqueued = 0 then
            raise exception 'no step could be sent: %', v_error;
        end if;
    end if;

    next_due_ms := tasker.next_due_ms();
    return next;
end
$$;
comment on function tasker.enqueue_ready_steps(int, uuid) is
    'Sends up to p_max ready steps whose time has come: retries, tasks with a start time, steps to '
    'run again; and held steps while their namespace has room; by priority. '
    'next_due_ms: until the next one, null if none is known.';
