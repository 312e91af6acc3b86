create function tasker.make_event_messages(
    p_task_ids  uuid[],
    p_steps     text[],
    p_events    jsonb[],
    p_ids       uuid[]
)
returns tasker.outgoing_event[]
language plpgsql volatile as $$
declare
    v_events  tasker.outgoing_event[];
begin
    select array_agg(row(
        task.namespace,
        e.task_id,
        e.step,
        case
            when jsonb_typeof(e.event) = 'object' then jsonb_build_object(
                'id', coalesce(e.id, tasker.new_id()),
                'name', e.event -> 'name',
                'version', coalesce(declared.version, ''),
                'namespace', task.namespace,
                'template', task.name,
                'task_id', e.task_id,
                'step', e.step,
                'claim_no', step.claim_no,
                'correlation_id', task.correlation_id,
                'traceparent', coalesce(e.event ->> 'traceparent', task.traceparent),
                'time', tasker.clock(),
                'payload', e.event -> 'payload',
                'metadata', e.event -> 'metadata'
            )
            else e.event
        end,
        case
            when jsonb_typeof(e.event) <> 'object'
              or jsonb_typeof(e.event -> 'name') is distinct from 'string'
                then 'an event must be {"name","payload"}'
            when declared.delivery is null then format(
                'step %s of %s.%s does not declare the event %s: add it to its publishes_events',
                step.template_step,
                task.namespace,
                task.name,
                left(e.event ->> 'name', 100)
            )
            when e.event ->> 'problem' is not null then e.event ->> 'problem'
            when declared.delivery = 'fast' then ''
            when pg_column_size(e.event) > 1000
                then tasker.result_too_large(e.event, 'event')
        end)::tasker.outgoing_event order by e.n)
    into v_events
    from unnest(p_task_ids, p_steps, p_events, p_ids)
        with ordinality e(task_id, step, event, id, n)
    cross join lateral (
        select s.template_step, s.claim_no
        from tasker.steps s
        where s.task_id = e.task_id
          and s.name = e.step
        offset 0
    ) step
    cross join lateral (
        select *
        from tasker.tasks t
        where t.task_id = e.task_id
        offset 0
    ) task
    left join lateral (
        select d.version, d.delivery
        from tasker.template_events d
        where d.template_id = task.template_id
          and d.step = step.template_step
          and d.name = e.event ->> 'name'
        offset 0
    ) declared on true;
    return v_events;
end
$$;
comment on function tasker.make_event_messages(uuid[], text[], jsonb[], uuid[]) is
    'Makes the message of each event and finds its problem, in the order given.';
