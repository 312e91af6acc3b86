-- What keeps one task, client, template, handler, or row from stopping another: bounds, limits, and places
-- of their own. Each part stands by itself.

comment on table tasker.settings is 'One row: what holds for the whole engine.';
comment on column tasker.settings.notify_on_enqueue is
    'Whether enqueue_task wakes an orchestrator at once. A notification makes commits wait for each other: turn it off under very heavy enqueueing and let the poll find the tasks.';
comment on column tasker.settings.max_result_bytes is
    'Bytes of one step''s result, and of one checkpoint, as text.';
comment on column tasker.settings.retention_days is
    'How long finished tasks are kept; 0: without end. A template may say otherwise.';
comment on column tasker.settings.max_waiting_for_dependencies_minutes is
    'When a task in this state counts as stale. A template may say otherwise.';
comment on column tasker.settings.max_waiting_for_retry_minutes is
    'When a task in this state counts as stale. A template may say otherwise.';
comment on column tasker.settings.max_steps_in_process_minutes is
    'When a task in this state counts as stale. A template may say otherwise.';
comment on column tasker.settings.max_duration_minutes is
    'When an unfinished task counts as stale. A template may say otherwise.';
comment on column tasker.settings.max_without_worker_minutes is
    'How long a step waits for a worker that has its handler before it becomes a dead letter.';
comment on column tasker.settings.max_decision_depth is
    'How many decisions may stand on one path of a template.';
comment on column tasker.settings.max_instances is
    'How many instances one batch may have.';
comment on column tasker.settings.max_inline_results is
    'How many results of a batch are handed to the step after it with its claim.';

-- Part: requests, results, and sweeps -------------------------------------------------------------------------



-- Part: claims, handlers, and heartbeats ----------------------------------------------------------------------



-- Part: attempts and lost leases ------------------------------------------------------------------------------



-- Part: limits of what clients and templates give -------------------------------------------------------------



-- Part: who did it, and namespaces as a boundary --------------------------------------------------------------



-- Part: installations ------------------------------------------------------------------------------------------


