create function tasker.insert_template_steps(
    p_template_id  uuid,
    p_steps        jsonb,
    p_constants    jsonb
)
returns void
language plpgsql volatile as $$
begin
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
        inputs,
        inputs_bytes,
        inputs_paths,
        parent_count,
        is_leaf,
        initial,
        after_batch,
        decision_depth,
        conditional,
        condition,
        sisters,
        when_false,
        may_skip,
        reveals,
        handled,
        goes_on
    )
    select
        p_template_id,
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
        m.inputs,
        c.bytes,
        c.paths,
        jsonb_array_length(coalesce(e.s -> 'dependencies', '[]')),
        h.is_leaf,
        l.initial,
        l.after_batch,
        l.decision_depth,
        e.s ?| '{when,otherwise}',
        case
            when e.s ? 'when' then tasker.compile_condition(
                e.s ->> 'when', tasker.parent_names(e.s), b.names, p_constants)
        end,
        t.sisters,
        e.s ->> 'when_false',
        h.may_skip,
        h.reveals,
        h.handled,
        e.s ? 'on_error'
    from jsonb_array_elements(p_steps) with ordinality e(s, n)
    join tasker.graph_levels(p_steps) l on l.n = e.n
    cross join (select tasker.batch_workers(p_steps) as names) b
    left join lateral (
        select tasker.compile_mapping(
            e.s -> 'inputs',
            'parents',
            tasker.parent_names(e.s),
            b.names,
            coalesce(e.s -> 'inputs_required', '[]')) as inputs
        where e.s ? 'inputs'
    ) m on true
    left join lateral tasker.mapping_costs(m.inputs, p_constants) c on m.inputs is not null
    join tasker.step_ends(p_steps) h on h.n = e.n
    left join tasker.step_sisters(p_steps) t on t.n = e.n and t.kind = 'otherwise';
end
$$;
comment on function tasker.insert_template_steps(uuid, jsonb, jsonb) is
    'Writes the steps of a valid template; the defaults of retry and timeout stand here.';
