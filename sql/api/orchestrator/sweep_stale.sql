-- for: orchestrator
-- planner: plan_cache_mode = force_generic_plan, enable_seqscan = off, jit = off
create function tasker.sweep_stale(p_max int)
returns table (staleness_timeout int, worker_unavailable int, more boolean)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '100ms'
as $$
declare
    c_entries  constant int := 100;
    v_now      timestamptz := tasker.clock();
    v_after    uuid;
    v_slice    uuid[];
    v_found    record;
begin
    perform tasker.refuse_isolation();
    if tasker.limits() is not null then
        perform tasker.refuse_limited();
    end if;
    perform tasker.check_max(p_max);

    -- One process sweeps at a time, and a round begins at most every five seconds, however many
    -- processes there are.
    select w.after
    into v_after
    from tasker.sweeps w
    where w.name = 'staleness'
      and (
        w.after is not null
        or w.ran_at is null
        or w.ran_at not between v_now - interval '5 s' and v_now
      )
    for no key update skip locked;
    if not found then
        return query select 0, 0, false;
        return;
    end if;

    perform tasker.forget_parked_handlers(v_now);
    perform tasker.close_dead_letters(100, v_now);

    -- The next tasks of this round.
    select array_agg(t.task_id order by t.task_id)
    into v_slice
    from (
        select t.task_id
        from tasker.tasks t
        where t.completed_at is null
          and t.task_id > coalesce(v_after, '00000000-0000-0000-0000-000000000000')
        order by t.task_id
        limit p_max
    ) t;

    -- At most 100 entries a call, all in one statement, in the order of the tasks.
    v_found := tasker.find_stale_tasks(v_slice, c_entries, v_now);
    select
        count(*) filter (where a = 'staleness_timeout'),
        count(*) filter (where a = 'worker_unavailable')
    into staleness_timeout, worker_unavailable
    from tasker.add_task_dead_letters(
        v_found.task_ids, v_found.reasons, v_found.steps, v_found.details) a;

    -- The next call goes on where this one ended; null ends the round.
    v_after := case
        when cardinality(v_found.task_ids) = c_entries then v_found.task_ids[c_entries]
        when cardinality(v_slice) = p_max then v_slice[p_max]
    end;
    update tasker.sweeps w
    set after = v_after,
        ran_at = v_now
    where w.name = 'staleness';

    more := v_after is not null;
    return next;
end
$$;
comment on function tasker.sweep_stale(int) is
    'Looks at the next p_max unfinished tasks and writes a dead letter for each stale task, and '
    'for each task with a step that waits too long for a worker with its handler. '
    'Changes no task. more: the round is not complete.';
