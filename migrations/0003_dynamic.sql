-- Graphs that grow while they run: decisions, deferred steps, batches with cursors and checkpoints.

alter table tasker.settings
    add column max_decision_depth  int not null default 10 check (max_decision_depth > 0),
    add column max_instances       int not null default 100000 check (max_instances between 1 and 1000000),
    add column max_inline_results  int not null default 100 check (max_inline_results between 0 and 10000);
comment on table tasker.settings is 'One row. notify_on_enqueue: whether enqueue_task wakes an orchestrator at once; a notification makes commits wait for each other, so turn it off under very heavy enqueueing and let the poll find the tasks. max_result_bytes: of one step''s result, and of one checkpoint. retention_days: how long finished tasks are kept, 0 for ever; the minutes: when a task counts as stale; templates may say otherwise for both. max_without_worker_minutes: how long a step waits for a worker that has its handler before it becomes a dead letter. max_decision_depth: how many decisions may stand on one path; max_instances: of one batch; max_inline_results: how many results of a batch are handed to the step after it with its claim.';

alter table tasker.templates add column dynamic boolean not null default false;
comment on column tasker.templates.dynamic is 'Whether some of its steps come into being only while a task runs.';

alter table tasker.template_steps
    drop constraint template_steps_type_check,
    add constraint template_steps_type_check check (type in ('standard', 'decision', 'deferred', 'batchable', 'batch_worker')),
    add column failure_strategy  text check (failure_strategy in ('fail_fast', 'continue_on_failure')),
    add column initial           boolean not null default true,
    add column decision_depth    int not null default 0,
    add column after_batch       boolean not null default false;
comment on table tasker.template_steps is 'The steps of a template. level: longest path from a root; position: order in the file; initial: exists from the start of a task; decision_depth: decisions on the longest path to it, itself included; after_batch: depends on a batch_worker.';

alter table tasker.steps
    add column decides  boolean not null default false,
    add column decided  jsonb;
comment on table tasker.steps is 'The steps of each task. claim_no: raised by every claim, never reused, decides whose result counts. available_at: set while a ready step is not in a queue. msg_id: the message of the current claim. instance, inputs: number and cursor of one step of a batch. checkpoint: {"cursor","items_processed","accumulated"}. decides: other steps come into being by its outcome; decided: {"create_steps"} or {"worker_step","cursors"}, the cursors until the instances are there, then their number.';
