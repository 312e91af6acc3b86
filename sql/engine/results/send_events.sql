create function tasker.send_events(p_results jsonb, p_accepted int[])
returns void
language plpgsql volatile as $$
declare
    v_task_ids    uuid[];
    v_steps       text[];
    v_events      jsonb[];
    v_ids         uuid[];
    v_namespaces  text[];
    v_messages    jsonb[];
    v_problems    text[];
    v_namespace   text;
begin
    -- Most results have no events.
    if p_accepted is null or not p_results @? '$[*].events[*]' then
        return;
    end if;

    -- Into arrays, so that each value is taken out of the JSON once.
    select
        array_agg((r.r ->> 'task_id')::uuid order by r.n, e.m),
        array_agg(r.r ->> 'step' order by r.n, e.m),
        array_agg(e.event order by r.n, e.m)
    into v_task_ids, v_steps, v_events
    from (
        select r.n, r.r, nullif(r.r -> 'events', 'null') as events
        from (
            select i.n, p_results -> (i.n - 1) as r from unnest(p_accepted) i(n) offset 0
        ) r
        offset 0
    ) r
    cross join lateral jsonb_array_elements(
        case jsonb_typeof(r.events)
            when 'array' then r.events
            else jsonb_build_array(r.events)
        end
    ) with ordinality e(event, m)
    where r.events is not null;
    v_ids := tasker.to_uuids(array(
        select e.event ->> 'id'
        from unnest(v_events) with ordinality e(event, n)
        order by e.n
    ));

    -- Make the message of each event, and find its problem. An event whose problem is null is sent.
    select
        array_agg(x.namespace),
        array_agg(x.message),
        array_agg(x.problem),
        array_agg(x.task_id),
        array_agg(x.step)
    into v_namespaces, v_messages, v_problems, v_task_ids, v_steps
    from (
        select
            t.namespace,
            e.task_id,
            e.step,
            case
                when jsonb_typeof(e.event) = 'object' then jsonb_build_object(
                    'id', coalesce(e.id, tasker.new_id()),
                    'name', e.event -> 'name',
                    'version', coalesce(d.version, ''),
                    'namespace', t.namespace,
                    'template', t.name,
                    'task_id', e.task_id,
                    'step', e.step,
                    'claim_no', s.claim_no,
                    'correlation_id', t.correlation_id,
                    'traceparent', coalesce(e.event ->> 'traceparent', t.traceparent),
                    'time', tasker.clock(),
                    'payload', e.event -> 'payload',
                    'metadata', e.event -> 'metadata'
                )
                else e.event
            end as message,
            case
                when jsonb_typeof(e.event) <> 'object'
                  or jsonb_typeof(e.event -> 'name') is distinct from 'string'
                    then 'an event must be {"name","payload"}'
                when d.delivery is null then format(
                    'step %s of %s.%s does not declare the event %s: '
                    'add it to its publishes_events',
                    s.template_step,
                    t.namespace,
                    t.name,
                    left(e.event ->> 'name', 100)
                )
                when e.event ->> 'problem' is not null then e.event ->> 'problem'
                when d.delivery = 'fast' then ''
                when pg_column_size(e.event) > 1000
                    then tasker.result_too_large(e.event, 'event')
            end as problem
        from unnest(v_task_ids, v_steps, v_events, v_ids)
            with ordinality e(task_id, step, event, id, n)
        cross join lateral (
            select s.template_step, s.claim_no
            from tasker.steps s
            where s.task_id = e.task_id
              and s.name = e.step
            offset 0
        ) s
        cross join lateral (
            select
                t.template_id,
                t.namespace,
                t.name,
                t.correlation_id,
                t.traceparent
            from tasker.tasks t
            where t.task_id = e.task_id
            offset 0
        ) t
        left join lateral (
            select d.version, d.delivery
            from tasker.template_events d
            where d.template_id = t.template_id
              and d.step = s.template_step
              and d.name = e.event ->> 'name'
            offset 0
        ) d on true
        order by e.n
    ) x;

    -- Send the events of each namespace to its queue.
    for v_namespace in
        select distinct m.namespace
        from unnest(v_namespaces, v_problems) m(namespace, problem)
        where m.problem is null
    loop
        begin
            perform pgmq.send_batch(
                tasker.events_queue(v_namespace),
                array(
                    select m.message
                    from unnest(v_namespaces, v_messages, v_problems)
                        with ordinality m(namespace, message, problem, n)
                    where m.namespace = v_namespace
                      and m.problem is null
                    order by m.n
                ),
                null,
                clock_timestamp()
            );
            perform tasker.notify_queue(tasker.events_queue(v_namespace));
        exception when others then
            -- The results are accepted in any case: damage to the queue is no step's fault.
            if tasker.is_passing_error(sqlstate) then
                raise;
            end if;
            v_problems := array(
                select
                    case
                        when m.namespace <> v_namespace or m.problem is not null then m.problem
                        when sqlstate = '42P01' then
                            'its queue is not there any more: '
                            'apply a template of the namespace again'
                        else 'its queue did not take it: ' || sqlerrm
                    end
                from unnest(v_namespaces, v_problems) with ordinality m(namespace, problem, n)
                order by m.n
            );
        end;
    end loop;

    -- Each problem becomes a dead letter, but '' marks an event that stays in the worker's own
    -- process. tasker.dead_letter is not used, since it compares and no event is like another.
    insert into tasker.dlq_entries (
        entry_id,
        reason,
        queue,
        message,
        task_id,
        step,
        detail,
        created_at
    )
    select
        tasker.new_id(),
        'bad_message',
        tasker.events_queue(m.namespace),
        m.message,
        m.task_id,
        m.step,
        left(m.problem, 1000),
        tasker.clock()
    from unnest(v_namespaces, v_messages, v_problems, v_task_ids, v_steps)
        m(namespace, message, problem, task_id, step)
    where m.problem <> '';
end
$$;
comment on function tasker.send_events(jsonb, int[]) is
    'Sends the events of those results that were accepted (numbers from 1) '
    'to the queues of their namespaces, in the transaction that accepted them. '
    'One that breaks its schema, or that its step does not declare, becomes a dead letter; '
    'no event fails its step.';
