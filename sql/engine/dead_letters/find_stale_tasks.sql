create function tasker.find_stale_tasks(
    p_task_ids    uuid[],
    p_max         int,
    p_now         timestamptz,
    out task_ids  uuid[],
    out reasons   text[],
    out steps     text[],
    out details   text[]
)
language plpgsql stable as $$
declare
    v_task_ids  uuid[];
begin
    -- One that has a dead letter needs no other.
    select array_agg(i.task_id)
    into v_task_ids
    from unnest(p_task_ids) i(task_id)
    where not exists (
        select
        from tasker.dead_letters d
        where d.task_id = i.task_id
          and d.status = 'pending'
          and d.reason <> 'bad_message'
    );

    -- Tasks are read and never locked.
    select
        array_agg(f.task_id order by f.task_id),
        array_agg(f.reason order by f.task_id),
        array_agg(f.step order by f.task_id),
        array_agg(f.detail order by f.task_id)
    into task_ids, reasons, steps, details
    from (
        select distinct on (c.task_id) c.*
        from (
            select w.task_id, 'worker_unavailable' as reason, w.step, w.detail
            from tasker.steps_without_worker(v_task_ids, p_now) w
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
        limit p_max
    ) f;
end
$$;
comment on function tasker.find_stale_tasks(uuid[], int, timestamptz) is
    'The first p_max of these tasks, in their order, that need a dead letter: stale, or with a '
    'step that waits too long for a worker with its handler; and the reason for each.';
