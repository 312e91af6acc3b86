create function tasker.create_template_queues(p_definition jsonb) returns void
language plpgsql volatile as $$
declare
    v_namespace  text := p_definition ->> 'namespace';
begin
    if not exists (
        select
        from pgmq.list_queues() q
        where q.queue_name = tasker.worker_queue(v_namespace)
    ) then
        perform pgmq.create(tasker.worker_queue(v_namespace));
        -- Workers of a namespace that does not exist yet wait for this notice.
        perform tasker.notify_queue(tasker.worker_queue(v_namespace));
    end if;

    -- Only durable and broadcast events need the queue of events.
    if p_definition @? '$.steps[*].publishes_events[*] '
        '? (!exists(@.delivery) || @.delivery != "fast")'
    then
        update tasker.namespaces n
        set events = true
        where n.namespace = v_namespace
          and not n.events;
        if not exists (
            select
            from pgmq.list_queues() q
            where q.queue_name = tasker.events_queue(v_namespace)
        ) then
            perform pgmq.create(tasker.events_queue(v_namespace));
        end if;
    end if;
end
$$;
comment on function tasker.create_template_queues(jsonb) is
    'Creates the queues that a template needs and its namespace lacks. '
    'The caller holds the namespace.';
