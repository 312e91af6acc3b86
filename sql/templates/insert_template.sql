create function tasker.insert_template(p_definition jsonb, p_hash text)
returns uuid
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_id  uuid := tasker.new_id();
begin
    insert into tasker.templates (
        template_id,
        namespace,
        name,
        version,
        definition,
        content_hash,
        input_schema,
        on_failure,
        applied_no,
        created_at,
        max_waiting_for_dependencies_minutes,
        max_waiting_for_retry_minutes,
        max_steps_in_process_minutes,
        max_duration_minutes,
        retention_days
    )
    values (
        v_id,
        p_definition ->> 'namespace',
        p_definition ->> 'name',
        p_definition ->> 'version',
        p_definition,
        p_hash,
        p_definition -> 'input_schema',
        coalesce(p_definition ->> 'on_failure', 'block'),
        nextval('tasker.template_applied_no'),
        tasker.clock(),
        (p_definition #>> '{lifecycle,max_waiting_for_dependencies_minutes}')::numeric,
        (p_definition #>> '{lifecycle,max_waiting_for_retry_minutes}')::numeric,
        (p_definition #>> '{lifecycle,max_steps_in_process_minutes}')::numeric,
        (p_definition #>> '{lifecycle,max_duration_minutes}')::numeric,
        (p_definition #>> '{lifecycle,retention_days}')::numeric
    );

    insert into tasker.template_edges (template_id, parent, child)
    select v_id, d.dependency #>> '{}', c.s ->> 'name'
    from tasker.template_dependencies(p_definition -> 'steps') d
    join jsonb_array_elements(p_definition -> 'steps') with ordinality c(s, n) on c.n = d.step_n;

    insert into tasker.template_steps (
        template_id,
        name,
        position,
        level,
        type,
        failure_strategy,
        handler,
        config,
        max_attempts,
        backoff,
        backoff_base_ms,
        max_backoff_ms,
        jitter,
        timeout,
        lease,
        parent_count,
        is_leaf,
        initial,
        after_batch,
        decision_depth
    )
    select
        v_id,
        e.s ->> 'name',
        e.n,
        l.level,
        coalesce(e.s ->> 'type', 'standard'),
        case
            when e.s ->> 'type' = 'batch_worker'
                then coalesce(e.s ->> 'failure_strategy', 'fail_fast')
        end,
        -- An entry point of a handler is a handler by itself to all but the program that has it.
        concat_ws('.', e.s #>> '{handler,callable}', e.s #>> '{handler,method}'),
        coalesce(e.s #> '{handler,config}', '{}'),
        case
            when (e.s #>> '{retry,retryable}') = 'false' then 1
            else coalesce((e.s #>> '{retry,max_attempts}')::numeric::int, 3)
        end,
        coalesce(e.s #>> '{retry,backoff}', 'exponential'),
        coalesce((e.s #>> '{retry,backoff_base_ms}')::numeric::bigint, 1000),
        coalesce((e.s #>> '{retry,max_backoff_ms}')::numeric::bigint, 60000),
        coalesce((e.s #>> '{retry,jitter}')::boolean, true),
        make_interval(secs => coalesce((e.s ->> 'timeout_seconds')::double precision, 300)),
        make_interval(secs => (e.s ->> 'lease_seconds')::double precision),
        jsonb_array_length(coalesce(e.s -> 'dependencies', '[]')),
        g.parent is null,
        l.initial,
        l.after_batch,
        l.decision_depth
    from jsonb_array_elements(p_definition -> 'steps') with ordinality e(s, n)
    join tasker.graph_levels(p_definition -> 'steps') l on l.n = e.n
    left join (
        select distinct g.parent
        from tasker.graph_edges(p_definition -> 'steps') g
    ) g on g.parent = e.n;

    insert into tasker.template_events (
        template_id,
        step,
        name,
        position,
        version,
        delivery,
        condition,
        schema
    )
    select
        v_id,
        s.s ->> 'name',
        e.e ->> 'name',
        e.n,
        coalesce(e.e ->> 'version', '1.0'),
        coalesce(e.e ->> 'delivery', 'durable'),
        coalesce(e.e ->> 'condition', 'success'),
        e.e -> 'schema'
    from jsonb_array_elements(p_definition -> 'steps') s(s)
    cross join lateral jsonb_array_elements(
        coalesce(s.s -> 'publishes_events', '[]')
    ) with ordinality e(e, n);

    update tasker.templates t
    set dynamic = true
    where t.template_id = v_id
      and exists (
          select
          from tasker.template_steps s
          where s.template_id = v_id
            and not s.initial
      );
    return v_id;
end
$$;
comment on function tasker.insert_template(jsonb, text) is
    'Writes a valid template into its tables; '
    'the defaults of retry, timeout, and events stand here.';
