-- planner: jit = off
create function tasker.sampled_tasks(
    p_namespace  text,
    p_name       text,
    p_since      interval,
    p_max_tasks  int
)
returns setof tasker.tasks
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_oldest  uuid;
    v_limits  text[] := tasker.limits();
begin
    perform tasker.check_max(p_max_tasks);
    if p_since is null or p_since <= interval '0' or p_since > interval '100 years' then
        raise exception
            'p_since must be more than 0 and at most 100 years; it is %',
            coalesce(p_since::text, 'null')
            using errcode = 'TK008',
                  hint = 'Give how far to look back, such as ''1 hour''.';
    end if;

    -- Ids grow with time: the newest are at the end of the primary key, and tasks older than
    -- p_since are not read, however few match. The bound is by the real clock, as ids are made,
    -- less a minute, since a clock may be corrected.
    v_oldest := (
        lpad(
            to_hex(
                greatest(
                    extract(epoch from clock_timestamp() - p_since - interval '1 minute') * 1000,
                    0
                )::bigint
            ),
            12,
            '0'
        ) || repeat('0', 20)
    )::uuid;
    return query
        select n.*
        from (
            select t.*
            from tasker.tasks t
            where t.task_id >= v_oldest
              and (p_namespace is null or t.namespace = p_namespace)
              and (p_name is null or t.name = p_name)
              and (v_limits is null or t.namespace = any (v_limits))
            order by t.task_id desc
            limit p_max_tasks
        ) n
        where n.created_at >= tasker.now() - p_since;
end
$$;
comment on function tasker.sampled_tasks(text, text, interval, int) is
    'The sample for analytics: the newest tasks, at most p_max_tasks, that were enqueued within '
    'p_since. Null namespace or name: any. Error: TK008.';
