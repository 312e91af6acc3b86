-- for: orchestrator
-- planner: plan_cache_mode = force_generic_plan, enable_seqscan = off, jit = off
create function tasker.sweep_stale(p_max int)
returns table (staleness_timeout int, worker_unavailable int, more boolean)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '100ms'
as $$
declare
    v_now       timestamptz := tasker.clock();
    v_after     uuid;
    v_slice     uuid[];
    v_task_ids  uuid[];
    v_reasons   text[];
    v_steps     text[];
    v_details   text[];
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

    -- The next tasks of this round, without those that have a dead letter already.
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
    select array_agg(i.task_id)
    into v_task_ids
    from unnest(v_slice) i(task_id)
    where not exists (
        select
        from tasker.dlq_entries d
        where d.task_id = i.task_id
          and d.status = 'pending'
          and d.reason <> 'bad_message'
    );

    -- Tasks are read and never locked; at most 100 entries a call, all in one statement, in the
    -- order of the tasks.
    select
        array_agg(f.task_id order by f.task_id),
        array_agg(f.reason order by f.task_id),
        array_agg(f.step order by f.task_id),
        array_agg(f.detail order by f.task_id)
    into v_task_ids, v_reasons, v_steps, v_details
    from (
        select distinct on (c.task_id) c.*
        from (
            select w.task_id, 'worker_unavailable' as reason, w.step, w.detail
            from tasker.steps_without_worker(v_task_ids, v_now) w
            union all
            select
                s.task_id,
                'staleness_timeout',
                null,
                case
                    when s.minutes_in_state >= s.threshold_minutes then format(
                        '%s for %s minutes; the limit is %s',
                        s.state,
                        s.minutes_in_state,
                        s.threshold_minutes
                    )
                    else format(
                        'not finished after %s minutes; the limit is %s',
                        s.minutes,
                        s.max_duration_minutes
                    )
                end
            from tasker.task_staleness s
            where s.task_id = any (v_task_ids)
              and s.staleness = 'stale'
        ) c
        order by c.task_id, c.reason desc
        limit 100
    ) f;

    -- The next call goes on where this one ended; null ends the round.
    v_after := case
        when cardinality(v_task_ids) = 100 then v_task_ids[100]
        when cardinality(v_slice) = p_max then v_slice[p_max]
    end;
    select
        count(*) filter (where a = 'staleness_timeout'),
        count(*) filter (where a = 'worker_unavailable')
    into staleness_timeout, worker_unavailable
    from tasker.add_dead_letters(v_task_ids, v_reasons, v_steps, v_details) a;
    update tasker.sweeps w
    set after = v_after,
        ran_at = v_now
    where w.name = 'staleness';

    more := v_after is not null;
    return next;
end
$$;
comment on function tasker.sweep_stale(int) is
    'Looks at the next p_max unfinished tasks and writes a dead letter for each that is stale, '
    'or has a step that waits too long for a worker with its handler. '
    'Changes no task. more: not yet round.';
