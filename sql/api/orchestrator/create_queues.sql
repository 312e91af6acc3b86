-- for: orchestrator, operator
create function tasker.create_queues()
returns setof text
language plpgsql volatile security definer rows 10
set search_path = pg_catalog, pg_temp
as $$
declare
    v_queue  text;
begin
    if tasker.limits() is not null then
        perform tasker.refuse_limited();
    end if;

    -- Most often no queue is missing, and nothing is locked.
    for v_queue in
        select q.queue
        from tasker.expected_queues() q
        where to_regclass(format('pgmq.%I', 'q_' || q.queue)) is null
           -- A queue restored without its row in pgmq.meta works, but nobody sees it.
           or not exists (select from pgmq.meta m where m.queue_name = q.queue)
        order by q.queue
    loop
        -- pgmq.create locks the name, and does nothing where another call was first.
        perform pgmq.create(v_queue);
        return next v_queue;
    end loop;
end
$$;
comment on function tasker.create_queues() is
    'Creates missing queues: a dump of schema tasker alone contains no queues. '
    'The sweep sends their messages again. Returns the names of the created queues.';
