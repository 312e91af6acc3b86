create function tasker.open_held_steps(p_max int, p_only text default null)
returns table (task_id uuid, step text)
language sql stable as $$
    select held.task_id, held.step
    from tasker.namespaces namespace
    cross join lateral tasker.held_places(namespace.namespace) place
    -- The depth is measured only where something waits; a queue that has a max_depth is short, and
    -- so is each place beside it.
    cross join lateral (
        select
            case
                when namespace.max_depth is null then p_max
                when place.place = '' then greatest(0, namespace.max_depth - queue.depth)
                else greatest(0, namespace.max_depth - (
                    select count(*)
                    from (
                        select
                        from tasker.parked_steps parked
                        where parked.namespace = namespace.namespace
                          and parked.handler = place.place
                        limit namespace.max_depth
                    ) parked
                ))
            end as room
        from (
            select (
                select queue.queue_visible_length
                from tasker.queue_metrics(tasker.worker_queue(namespace.namespace)) queue
            ) as depth
            offset 0
        ) queue
        -- Nothing is sent where the queue is gone.
        where queue.depth is not null
        offset 0
    ) queue
    cross join lateral (
        select held.task_id, held.step
        from tasker.held_steps held
        where held.namespace = namespace.namespace
          and held.place = place.place
        order by held.priority desc, held.held_no
        limit least(queue.room, p_max)
    ) held
    where namespace.paused_at is null
      and (p_only is null or namespace.namespace = p_only)
$$;
comment on function tasker.open_held_steps(int, text) is
    'The held steps whose turn it is: by priority, then age, as many as fit into their '
    'namespace''s queue and into the place of each handler beside it.';
