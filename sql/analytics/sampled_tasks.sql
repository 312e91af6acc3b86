create function tasker.sampled_tasks(p_namespace text, p_name text, p_since interval, p_max_tasks int) returns setof tasker.tasks
language plpgsql stable security definer set search_path = '' set jit = off as $$
begin
    perform tasker.check_max(p_max_tasks);
    if p_since is null or p_since <= interval '0' then
        raise exception 'p_since must be longer than nothing; it is %', coalesce(p_since::text, 'null')
            using errcode = 'TK008', hint = 'Give how far to look back, such as ''1 hour''.';
    end if;
    -- Ids grow with time: the newest are at the end of the primary key, and the number of rows that are read is bounded.
    return query
        select n.* from (select t.* from tasker.tasks t
                          where (p_namespace is null or t.namespace = p_namespace) and (p_name is null or t.name = p_name)
                          order by t.task_id desc limit p_max_tasks) n
         where n.created_at >= tasker.now() - p_since;
end
$$;
comment on function tasker.sampled_tasks(text, text, interval, int) is 'What analytics are made from: the newest tasks, at most p_max_tasks, that were enqueued within p_since. Null namespace, name: any. Error: TK008.';
