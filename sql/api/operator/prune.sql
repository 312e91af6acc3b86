-- for: orchestrator, operator
-- planner: plan_cache_mode = force_generic_plan, enable_seqscan = off, jit = off
create function tasker.prune(p_max int default 1000, p_by text default null)
returns table (tasks int, dead_letters int, busy boolean)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '1s'
as $$
declare
    v_now  timestamptz := tasker.clock();
begin
    perform tasker.refuse_limited();
    perform tasker.check_max(p_max);

    -- The row of the sweep is the lock: one process prunes at a time.
    perform 1
    from tasker.sweeps w
    where w.name = 'retention'
    for no key update skip locked;

    if not found then
        return query select 0, 0, true;
        return;
    end if;

    update tasker.sweeps w
    set ran_at = v_now
    where w.name = 'retention';

    dead_letters := tasker.prune_dead_letters(p_max, v_now);
    tasks := tasker.prune_tasks(p_max, v_now);

    delete from tasker.operations o
    where o.at < v_now - interval '400 days';

    if tasks + dead_letters > 0 then
        perform tasker.log_operation(
            'prune',
            null,
            p_by,
            null,
            jsonb_build_object('tasks', tasks, 'dead_letters', dead_letters)
        );
    end if;
    busy := false;
    return next;
end
$$;
comment on function tasker.prune(int, text) is
    'Removes rows older than their retention: up to p_max finished tasks with their steps and '
    'audit, and up to p_max closed dead letters. Skips rows locked by another transaction. '
    'Call again until both are 0; busy: another process is pruning.';
