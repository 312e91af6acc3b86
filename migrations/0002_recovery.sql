-- What backpressure, leases of single steps, operators, dead letters, and retention keep.

alter table tasker.settings
    add column max_result_bytes                      int not null default 1048576 check (max_result_bytes between 1024 and 104857600),
    add column retention_days                        numeric not null default 30 check (retention_days >= 0),
    add column max_waiting_for_dependencies_minutes  numeric not null default 60 check (max_waiting_for_dependencies_minutes > 0),
    add column max_waiting_for_retry_minutes         numeric not null default 30 check (max_waiting_for_retry_minutes > 0),
    add column max_steps_in_process_minutes          numeric not null default 30 check (max_steps_in_process_minutes > 0),
    add column max_duration_minutes                  numeric not null default 1440 check (max_duration_minutes > 0),
    add column max_without_worker_minutes            numeric not null default 5 check (max_without_worker_minutes > 0);
comment on table tasker.settings is 'One row. notify_on_enqueue: whether enqueue_task wakes an orchestrator at once; a notification makes commits wait for each other, so turn it off under very heavy enqueueing and let the poll find the tasks. max_result_bytes: of one step''s result. retention_days: how long finished tasks are kept, 0 for ever; the minutes: when a task counts as stale; templates may say otherwise for both. max_without_worker_minutes: how long a step waits for a worker that has its handler before it becomes a dead letter.';

-- A namespace with either of these is gated: what becomes ready there is held, and sent by priority.
alter table tasker.namespaces
    add column paused_at     timestamptz,
    add column pause_reason  text,
    add column max_depth     int check (max_depth > 0);
comment on table tasker.namespaces is 'A queue and the workers on it. At most 33 characters, so that <namespace>_domain_events is a legal queue name (47). max_depth: how many steps may wait in the queue; null: any number.';

alter table tasker.templates
    add column retention_days                        numeric check (retention_days >= 0),
    add column max_waiting_for_dependencies_minutes  numeric check (max_waiting_for_dependencies_minutes > 0),
    add column max_waiting_for_retry_minutes         numeric check (max_waiting_for_retry_minutes > 0),
    add column max_steps_in_process_minutes          numeric check (max_steps_in_process_minutes > 0),
    add column max_duration_minutes                  numeric check (max_duration_minutes > 0);

alter table tasker.template_steps add column lease interval;
comment on column tasker.template_steps.lease is 'How long a claim of this step holds; null: what the worker asks for.';

-- Given by an operator who resolved the task.
alter table tasker.tasks add column result jsonb;
-- Finished tasks by template, oldest first, for retention. completed_at is written once.
create index tasks_finished on tasker.tasks (template_id, completed_at) where completed_at is not null;

create table tasker.held_steps (
    task_id    uuid not null,
    step       text not null,
    namespace  text not null,
    priority   int not null,
    held_no    bigint not null generated always as identity,
    primary key (task_id, step)
);
create index held_steps_in_turn on tasker.held_steps (namespace, priority desc, held_no);
comment on table tasker.held_steps is 'Steps that are ready in a namespace which is paused or has a max_depth: what waits for its turn, by priority and then by age.';

-- Dead letters ------------------------------------------------------------------------------------------------

alter table tasker.dlq_entries
    drop constraint dlq_entries_reason_check,
    add constraint dlq_entries_reason_check check (reason in ('bad_message', 'staleness_timeout', 'max_retries_exceeded', 'worker_unavailable', 'manual')),
    add column step         text,
    add column status       text not null default 'pending' check (status in ('pending', 'manually_resolved', 'permanent_failure', 'cancelled')),
    add column snapshot     jsonb,
    add column notes        text,
    add column resolved_by  text,
    add column resolved_at  timestamptz;
-- A foreign message may name a task without having to do with it.
create unique index dlq_entries_one_pending on tasker.dlq_entries (task_id) where status = 'pending' and reason <> 'bad_message';
create index dlq_entries_closed on tasker.dlq_entries (resolved_at) where resolved_at is not null;
comment on table tasker.dlq_entries is 'What people should look at: messages that no function could use, and tasks that stand still. An entry changes nothing by itself. snapshot: the task and its steps at that time.';

create table tasker.sweeps (
    name    text primary key,
    after   uuid,
    ran_at  timestamptz
);
comment on table tasker.sweeps is 'How far each sweep over the unfinished tasks has come. One process at a time runs a sweep: it holds its row.';
