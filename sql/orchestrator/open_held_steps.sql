create function tasker.open_held_steps(p_max int, p_only text default null) returns table (task_id uuid, step text)
language sql stable as $$
    select h.task_id, h.step
      from tasker.namespaces n
     -- The depth is measured only where something waits; a queue with a max_depth is a short one.
     cross join lateral (select case when n.max_depth is null then p_max else greatest(0, n.max_depth - m.queue_visible_length) end as room
                           from tasker.queue_metrics(tasker.worker_queue(n.namespace)) m
                          where exists (select from tasker.held_steps h where h.namespace = n.namespace) offset 0) m
     cross join lateral (select h.task_id, h.step from tasker.held_steps h
                          where h.namespace = n.namespace order by h.priority desc, h.held_no limit least(m.room, p_max)) h
     where n.paused_at is null and (p_only is null or n.namespace = p_only)
$$;
comment on function tasker.open_held_steps(int, text) is 'The held steps whose turn it is: by priority, then age, as many as their namespace''s queue has room for.';
