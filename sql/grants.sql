-- Who may do what. Runs last, each time the functions are made. public may execute nothing.
do $$
declare
    v_schema  text := 'tasker';
    v_grants  jsonb := '{
        "tasker_consumer": [
            "finish_events",
            "installation_problems",
            "read_events"
        ],
        "tasker_client": [
            "cancel_task",
            "enqueue_task",
            "enqueue_tasks",
            "installation_problems",
            "task_context",
            "task_result",
            "task_results",
            "task_status",
            "template_warnings",
            "validate_template"
        ],
        "tasker_worker": [
            "batch_results",
            "claim_steps",
            "complete_steps",
            "extend_leases",
            "heartbeat",
            "installation_problems",
            "lost_claims",
            "outcome_problem",
            "outcome_too_large",
            "parent_results",
            "release_steps",
            "remove_worker",
            "run_alone",
            "run_sql_handler",
            "submit_results",
            "template_handlers"
        ],
        "tasker_orchestrator": [
            "create_queues",
            "ended_tasks",
            "enqueue_ready_steps",
            "events_queue",
            "finalize_tasks",
            "find_limits",
            "initialize_tasks",
            "installation_problems",
            "limits",
            "live_worker_counts",
            "may_see_entry",
            "now",
            "open_task_counts",
            "process_slow_result",
            "process_step_results",
            "prune",
            "queue_metrics",
            "set_aside",
            "start_tasks",
            "sweep_stale",
            "take_finished_counts",
            "take_task_requests",
            "template_input_schema",
            "worker_queue"
        ],
        "tasker_operator": [
            "apply_template",
            "batch_results",
            "cancel_task",
            "cancel_tasks",
            "count_dead_letters",
            "count_tasks",
            "create_queues",
            "cursor_items",
            "dlq_add",
            "dlq_retry",
            "dlq_retry_all",
            "dlq_update",
            "dlq_update_all",
            "enqueue_task",
            "enqueue_tasks",
            "events_queue",
            "failure_rates",
            "installation_problems",
            "find_limits",
            "grant_namespace",
            "limit_namespace",
            "limits",
            "list_dead_letters",
            "list_events",
            "list_settings",
            "list_steps",
            "list_tasks",
            "live_worker_counts",
            "may_see_entry",
            "missing_worker",
            "now",
            "open_task_counts",
            "pause_namespace",
            "prune",
            "queue_metrics",
            "refuse_limited",
            "reset_task",
            "resolve_step",
            "resolve_task",
            "resume_namespace",
            "retry_step",
            "retry_tasks",
            "revoke_namespace",
            "set_setting",
            "show_step",
            "slowest_steps",
            "task_context",
            "task_result",
            "task_results",
            "task_status",
            "task_waiting_for",
            "template_warnings",
            "throughput",
            "unmade_steps",
            "use_template",
            "validate_template",
            "worker_queue"
        ],
        "tasker_readonly": [
            "batch_results",
            "count_dead_letters",
            "cursor_items",
            "events_queue",
            "failure_rates",
            "installation_problems",
            "find_limits",
            "limits",
            "list_dead_letters",
            "list_events",
            "list_settings",
            "list_steps",
            "list_tasks",
            "live_worker_counts",
            "may_see_entry",
            "missing_worker",
            "now",
            "open_task_counts",
            "queue_metrics",
            "refuse_limited",
            "show_step",
            "slowest_steps",
            "task_context",
            "task_result",
            "task_results",
            "task_status",
            "task_waiting_for",
            "template_warnings",
            "throughput",
            "unmade_steps",
            "validate_template",
            "worker_queue"
        ]
    }';
    v_role      text;
    v_function  text;
    v_alter     text;
begin
    -- Roles belong to the whole cluster: another database may have made them, or may be making them
    -- now. They are looked for each time, since a restored database may have come to another
    -- cluster.
    for v_role in select jsonb_object_keys(v_grants) loop
        begin
            if to_regrole(v_role) is null then
                execute format('create role %I nologin', v_role);
            end if;
        exception
            when duplicate_object or unique_violation then
                null;
            when insufficient_privilege then
                raise notice
                    'role % was not created (no right to create roles); '
                    'create it and run tasker migrate again to grant its functions',
                    v_role;
        end;
    end loop;

    -- The settings of a caller's session must not change what these functions, and those that they
    -- call, do. With standard_conforming_strings off, pgmq's functions cannot be compiled; with
    -- row_security off, row security that would hide rows raises an error instead.
    for v_alter in
        select format(
            'alter function %s set standard_conforming_strings = on set row_security = off',
            p.oid::regprocedure
        )
        from pg_catalog.pg_proc p
        where p.pronamespace = v_schema::regnamespace
          and p.prosecdef
          and p.prokind = 'f'
          and not exists (select from unnest(p.proconfig) c where c like 'row_security=%')
    loop
        execute v_alter;
    end loop;

    execute 'revoke execute on all functions in schema tasker from public';
    for v_role in select jsonb_object_keys(v_grants) loop
        continue when to_regrole(v_role) is null;
        execute format('grant usage on schema tasker to %I', v_role);
        for v_function in select jsonb_array_elements_text(v_grants -> v_role) loop
            execute format(
                'grant execute on %s to %I',
                (
                    select string_agg(format('function %s', p.oid::regprocedure), ', ')
                    from pg_proc p
                    where p.pronamespace = v_schema::regnamespace
                      and p.proname = v_function
                ),
                v_role
            );
        end loop;
    end loop;

    foreach v_role in array array['tasker_operator', 'tasker_readonly'] loop
        continue when to_regrole(v_role) is null;
        execute format('grant select on all tables in schema tasker to %I', v_role);
        -- These views are not filtered by namespace; only tasker's own functions read them.
        execute format(
            'revoke select on tasker.every_ready_step, tasker.every_gated_namespace from %I',
            v_role
        );
    end loop;

    -- Every process checks the schema at its start.
    foreach v_role in array array[
        'tasker_client',
        'tasker_worker',
        'tasker_orchestrator',
        'tasker_consumer'
    ] loop
        continue when to_regrole(v_role) is null;
        execute format(
            'grant select on tasker.schema_info, tasker.schema_migrations to %I',
            v_role
        );
    end loop;
    if to_regrole('tasker_orchestrator') is not null then
        execute 'grant select on tasker.queue_overview, tasker.dlq_counts to tasker_orchestrator';
    end if;
end
$$;
