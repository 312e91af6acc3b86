-- Who may do what. Runs last, each time the functions are made. public may execute nothing.
do $$
declare
    v_schema  text := 'tasker';
    v_grants  jsonb := '{
        "tasker_consumer": ["read_events", "finish_events"],
        "tasker_client": ["enqueue_task", "enqueue_tasks", "task_status", "task_result", "cancel_task", "validate_template", "template_warnings"],
        "tasker_worker": ["claim_steps", "submit_results", "complete_steps", "extend_leases", "lost_claims", "release_steps", "heartbeat", "remove_worker", "template_handlers", "run_sql_handler", "outcome_problem", "batch_results"],
        "tasker_orchestrator": ["take_task_requests", "start_tasks", "template_input_schema", "initialize_tasks", "process_step_results", "enqueue_ready_steps", "finalize_tasks", "sweep_stale", "ended_tasks", "prune", "now", "queue_metrics", "worker_queue", "events_queue",
                                "open_task_counts", "take_finished_counts", "live_worker_counts"],
        "tasker_operator": ["enqueue_task", "enqueue_tasks", "task_status", "task_result", "cancel_task", "validate_template", "template_warnings", "apply_template", "now", "queue_metrics", "worker_queue", "events_queue",
                            "pause_namespace", "resume_namespace", "limit_namespace",
                            "retry_step", "resolve_step", "resolve_task", "reset_task", "retry_tasks", "cancel_tasks", "count_tasks",
                            "dlq_add", "dlq_update", "dlq_retry", "prune",
                            "batch_results", "unmade_steps", "cursor_items", "open_task_counts", "live_worker_counts",
                            "list_tasks", "list_steps", "show_step", "list_dead_letters", "list_events", "slowest_steps", "throughput", "failure_rates"],
        "tasker_readonly": ["task_status", "task_result", "validate_template", "template_warnings", "now", "queue_metrics", "worker_queue", "events_queue",
                            "batch_results", "unmade_steps", "cursor_items", "open_task_counts", "live_worker_counts",
                            "list_tasks", "list_steps", "show_step", "list_dead_letters", "list_events", "slowest_steps", "throughput", "failure_rates"]
    }';
    v_role      text;
    v_function  text;
begin
    execute 'revoke execute on all functions in schema tasker from public';
    for v_role in select jsonb_object_keys(v_grants) loop
        continue when to_regrole(v_role) is null;
        execute format('grant usage on schema tasker to %I', v_role);
        for v_function in select jsonb_array_elements_text(v_grants -> v_role) loop
            execute format('grant execute on %s to %I',
                (select string_agg(format('function %s', p.oid::regprocedure), ', ') from pg_proc p
                  where p.pronamespace = v_schema::regnamespace and p.proname = v_function), v_role);
        end loop;
    end loop;
    foreach v_role in array array['tasker_operator', 'tasker_readonly'] loop
        continue when to_regrole(v_role) is null;
        execute format('grant select on all tables in schema tasker to %I', v_role);
    end loop;
    foreach v_role in array array['tasker_client', 'tasker_worker', 'tasker_orchestrator', 'tasker_consumer'] loop
        continue when to_regrole(v_role) is null;
        -- Every process checks the schema at its start.
        execute format('grant select on tasker.schema_info, tasker.schema_migrations to %I', v_role);
    end loop;
    if to_regrole('tasker_orchestrator') is not null then
        execute 'grant select on tasker.queue_overview, tasker.dlq_counts to tasker_orchestrator';
    end if;
end
$$;
