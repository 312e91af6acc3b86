create function tasker.park_steps(
    p_namespaces  text[],
    p_handlers    text[],
    p_task_ids    uuid[],
    p_steps       text[],
    p_msg_ids     bigint[] default null
)
returns void
language plpgsql volatile as $$
declare
    v_now  timestamptz := tasker.clock();
begin
    insert into tasker.parked_steps (
        namespace,
        handler,
        task_id,
        step,
        msg_id,
        parked_at
    )
    select
        i.namespace,
        i.handler,
        i.task_id,
        i.step,
        p_msg_ids[i.n],
        v_now
    from unnest(p_namespaces, p_handlers, p_task_ids, p_steps)
        with ordinality i(namespace, handler, task_id, step, n)
    order by i.n;

    -- From now on further steps of these handlers are parked at once.
    insert into tasker.parked_handlers (namespace, handler, parked_at)
    select distinct i.namespace, i.handler, v_now
    from unnest(p_namespaces, p_handlers) i(namespace, handler)
    where not exists (
        select from tasker.parked_handlers h
        where h.namespace = i.namespace
          and h.handler = i.handler
    );
end
$$;
comment on function tasker.park_steps(text[], text[], uuid[], text[], bigint[]) is
    'Puts steps beside the queue of their namespace, to be claimed by workers that have their '
    'handler; further steps of these handlers go there at once. '
    'Never waits for a lock.';
