create function tasker.forget_parked_handlers(p_now timestamptz) returns void
language plpgsql volatile as $$
begin
    if not exists (select from tasker.parked_handlers) then
        return;
    end if;

    -- Steps that have ended meanwhile are dropped by the claim that comes to them, or here, where
    -- none comes.
    with ended as materialized (
        select parked.parked_no
        from (
            select distinct lacked.namespace, lacked.handler
            from tasker.parked_handlers lacked
        ) lacked
        cross join lateral (
            select parked.parked_no, parked.task_id, parked.step
            from tasker.parked_steps parked
            where parked.namespace = lacked.namespace
              and parked.handler = lacked.handler
            order by parked.parked_no
            limit 100
        ) parked
        where not exists (
            select from tasker.steps step
            where step.task_id = parked.task_id
              and step.name = parked.step
              and step.state in ('enqueued', 'in_progress')
        )
    ), free as materialized (
        select parked.parked_no
        from tasker.parked_steps parked
        where parked.parked_no in (select ended.parked_no from ended)
        for update skip locked
    )
    delete from tasker.parked_steps parked
    using free
    where parked.parked_no = free.parked_no;

    delete from tasker.parked_handlers lacked
    where not exists (
            select from tasker.parked_steps parked
            where parked.namespace = lacked.namespace
              and parked.handler = lacked.handler
        )
      and not exists (
            select from tasker.workers worker
            where worker.last_seen > p_now - interval '30 s'
              and lacked.namespace = any (worker.namespaces)
              and not tasker.has_handler(worker.handlers, lacked.handler)
        );
end
$$;
comment on function tasker.forget_parked_handlers(timestamptz) is
    'Removes handlers that every live worker of the namespace has by now and that have no parked '
    'steps: their steps go through the queue again.';
