create function tasker.open_held_steps(p_max int, p_only text default null)
returns table (task_id uuid, step text)
language sql stable as $$
    select h.task_id, h.step
    from tasker.namespaces n
    cross join lateral tasker.held_places(n.namespace) p
    -- The depth is measured only where something waits; a queue that has a max_depth is short, and
    -- so is each place beside it.
    cross join lateral (
        select
            case
                when n.max_depth is null then p_max
                when p.place = '' then greatest(0, n.max_depth - m.depth)
                else greatest(0, n.max_depth - (
                    select count(*)
                    from (
                        select
                        from tasker.parked_steps k
                        where k.namespace = n.namespace
                          and k.handler = p.place
                        limit n.max_depth
                    ) k
                ))
            end as room
        from (
            select (
                select m.queue_visible_length
                from tasker.queue_metrics(tasker.worker_queue(n.namespace)) m
            ) as depth
            offset 0
        ) m
        -- Nothing is sent where the queue is gone.
        where m.depth is not null
        offset 0
    ) m
    cross join lateral (
        select h.task_id, h.step
        from tasker.held_steps h
        where h.namespace = n.namespace
          and h.place = p.place
        order by h.priority desc, h.held_no
        limit least(m.room, p_max)
    ) h
    where n.paused_at is null
      and (p_only is null or n.namespace = p_only)
$$;
comment on function tasker.open_held_steps(int, text) is
    'The held steps whose turn it is: by priority, then age, as many as fit into their '
    'namespace''s queue and into the place of each handler beside it.';
