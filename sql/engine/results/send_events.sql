create function tasker.send_events(p_results jsonb, p_accepted int[])
returns void
language plpgsql volatile as $$
declare
    v_found      record;
    v_events     tasker.outgoing_event[];
    v_namespace  text;
    v_messages   jsonb[];
    v_problem    text;
    v_refused    jsonb := '{}';
begin
    -- Most results have no events.
    if p_accepted is null or not p_results @? '$[*].events[*]' then
        return;
    end if;

    v_found := tasker.collect_events(p_results, p_accepted);
    v_events := tasker.make_event_messages(
        v_found.task_ids, v_found.steps, v_found.events, v_found.ids);

    for v_namespace, v_messages in
        select e.namespace, array_agg(e.message order by e.n)
        from unnest(v_events) with ordinality e(namespace, task_id, step, message, problem, n)
        where e.problem is null
        group by e.namespace
    loop
        v_problem := tasker.send_event_messages(v_namespace, v_messages);
        if v_problem is not null then
            v_refused := v_refused || jsonb_build_object(v_namespace, v_problem);
        end if;
    end loop;

    perform tasker.bury_events(v_events, v_refused);
end
$$;
comment on function tasker.send_events(jsonb, int[]) is
    'Sends the events of accepted results (numbers from 1) to the queues of their namespaces, in '
    'the transaction that accepted them. One that breaks its schema, or that its step does not '
    'declare, becomes a dead letter; no event fails its step.';
