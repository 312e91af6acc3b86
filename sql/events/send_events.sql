create function tasker.send_events(p_results jsonb, p_accepted int[]) returns void
language plpgsql volatile as $$
declare
    v_namespaces  text[];
    v_messages    jsonb[];
    v_problems    text[];
    v_namespace   text;
begin
    -- Most results have none.
    if p_accepted is null or not p_results @? '$[*].events[*]' then
        return;
    end if;
    select array_agg(x.namespace order by x.n, x.m), array_agg(x.message order by x.n, x.m), array_agg(x.problem order by x.n, x.m)
      into v_namespaces, v_messages, v_problems
      from (select r.n, e.m, t.namespace,
                   case when jsonb_typeof(e.e) = 'object'
                        then jsonb_build_object(
                            'id', coalesce(tasker.to_uuid(e.e ->> 'id'), tasker.new_id()), 'name', e.e -> 'name', 'version', d.version, 'namespace', t.namespace, 'template', t.name,
                            'task_id', s.task_id, 'step', s.name, 'claim_no', s.claim_no, 'correlation_id', t.correlation_id,
                            'traceparent', coalesce(e.e ->> 'traceparent', t.traceparent), 'time', tasker.clock(), 'payload', e.e -> 'payload', 'metadata', e.e -> 'metadata')
                        else e.e end as message,
                   case when jsonb_typeof(e.e) <> 'object' or jsonb_typeof(e.e -> 'name') is distinct from 'string' then 'an event must be {"name","payload"}'
                        when d.delivery is null then format('step %s of %s.%s does not declare the event %s: add it to its publishes_events', s.template_step, t.namespace, t.name, left(e.e ->> 'name', 100))
                        when e.e ->> 'problem' is not null then e.e ->> 'problem'
                        when d.delivery = 'fast' then ''
                        when to_regclass(format('pgmq.%I', 'q_' || tasker.events_queue(t.namespace))) is null then 'its queue is not there any more: apply a template of the namespace again'
                        else tasker.result_too_large(e.e -> 'payload', 'payload') end as problem
              from (select i.n, p_results -> (i.n - 1) as r from unnest(p_accepted) i(n)) r
             cross join lateral (select nullif(r.r -> 'events', 'null') as events) v
             cross join lateral jsonb_array_elements(case jsonb_typeof(v.events) when 'array' then v.events else jsonb_build_array(v.events) end) with ordinality e(e, m)
             cross join lateral (select s.* from tasker.steps s where s.task_id = tasker.to_uuid(r.r ->> 'task_id') and s.name = r.r ->> 'step' offset 0) s
             cross join lateral (select t.* from tasker.tasks t where t.task_id = s.task_id offset 0) t
              left join lateral (select d.* from tasker.template_events d
                                  where d.template_id = t.template_id and d.step = s.template_step and d.name = e.e ->> 'name' offset 0) d on true
             where v.events is not null) x;
    -- '': only in the worker's own process.
    perform tasker.dead_letter(tasker.events_queue(m.namespace), null, m.message, m.problem)
       from unnest(v_namespaces, v_messages, v_problems) m(namespace, message, problem) where m.problem <> '';
    for v_namespace in
        select distinct m.namespace from unnest(v_namespaces, v_problems) m(namespace, problem) where m.problem is null
    loop
        perform pgmq.send_batch(tasker.events_queue(v_namespace), array(
            select m.message from unnest(v_namespaces, v_messages, v_problems) with ordinality m(namespace, message, problem, n)
             where m.namespace = v_namespace and m.problem is null order by m.n), null, clock_timestamp());
        perform tasker.notify_queue(tasker.events_queue(v_namespace));
    end loop;
end
$$;
comment on function tasker.send_events(jsonb, int[]) is 'Sends the events of those results that were accepted (numbers from 1) to the queues of their namespaces, in the transaction that accepted them. One that breaks its schema, or that its step does not declare, becomes a dead letter; no event fails its step.';
