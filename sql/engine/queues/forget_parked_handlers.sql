create function tasker.forget_parked_handlers(p_now timestamptz) returns void
language plpgsql volatile as $$
begin
    if not exists (select from tasker.parked_handlers) then
        return;
    end if;

    -- Steps that have ended meanwhile are dropped by the claim that comes to them, or here, where
    -- none comes.
    with ended as materialized (
        select p.parked_no
        from (
            select distinct h.namespace, h.handler
            from tasker.parked_handlers h
        ) h
        cross join lateral (
            select p.parked_no, p.task_id, p.step
            from tasker.parked_steps p
            where p.namespace = h.namespace
              and p.handler = h.handler
            order by p.parked_no
            limit 100
        ) p
        where not exists (
            select from tasker.steps s
            where s.task_id = p.task_id
              and s.name = p.step
              and s.state in ('enqueued', 'in_progress')
        )
    ), free as materialized (
        select p.parked_no
        from tasker.parked_steps p
        where p.parked_no in (select e.parked_no from ended e)
        for update skip locked
    )
    delete from tasker.parked_steps p
    using free f
    where p.parked_no = f.parked_no;

    delete from tasker.parked_handlers h
    where not exists (
            select from tasker.parked_steps p
            where p.namespace = h.namespace
              and p.handler = h.handler
        )
      and not exists (
            select from tasker.workers w
            where w.last_seen > p_now - interval '30 s'
              and h.namespace = any (w.namespaces)
              and not tasker.has_handler(w.handlers, h.handler)
        );
end
$$;
comment on function tasker.forget_parked_handlers(timestamptz) is
    'Removes handlers that every live worker of the namespace has by now and that have no parked '
    'steps: their steps go through the queue again.';
