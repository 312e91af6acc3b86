create function tasker.take_ended_tasks(p_max int) returns uuid[]
language plpgsql volatile as $$
declare
    v_now       timestamptz := tasker.clock();
    -- Commits become visible later than the times they carry.
    v_until     timestamptz := v_now - interval '5 s';
    v_from      timestamptz;
    v_after     uuid;
    v_task_ids  uuid[];
begin
    -- One process does this at a time. It reaches back ten minutes at most, since backends refuse
    -- old spans: what ended while nobody traced is of no use much later.
    select
        greatest(w.upto, v_now - interval '10 min'),
        case when w.upto >= v_now - interval '10 min' then w.after end
    into v_from, v_after
    from tasker.sweeps w
    where w.name = 'traces'
    for no key update skip locked;
    if not found then
        return null;
    end if;
    -- Where the clock has gone back, the search starts from now.
    v_from := least(v_from, v_now);
    v_after := coalesce(v_after, '00000000-0000-0000-0000-000000000000');

    -- The next tasks in the order of their end, from each template by its index.
    select array_agg(e.task_id order by e.completed_at, e.task_id)
    into v_task_ids
    from (
        select o.*
        from tasker.templates v
        cross join lateral (
            select t.task_id, t.completed_at
            from tasker.tasks t
            where t.template_id = v.template_id
              and t.completed_at >= v_from
              and t.completed_at <= v_until
              and (t.completed_at > v_from or t.task_id > v_after)
            order by t.completed_at, t.task_id
            limit p_max
        ) o
        order by o.completed_at, o.task_id
        limit p_max
    ) e;

    -- The next call goes on after the last of these tasks.
    if cardinality(v_task_ids) = p_max then
        v_after := v_task_ids[p_max];
        v_from := (select t.completed_at from tasker.tasks t where t.task_id = v_after);
    else
        v_after := 'ffffffff-ffff-ffff-ffff-ffffffffffff';
        v_from := greatest(v_from, v_until);
    end if;
    update tasker.sweeps w
    set upto = v_from,
        after = v_after,
        ran_at = v_now
    where w.name = 'traces';
    return v_task_ids;
end
$$;
comment on function tasker.take_ended_tasks(int) is
    'The next p_max tasks that have ended, in the order of their end; the next call goes on after '
    'them. Null: no such task, or another process is taking them.';
