-- What keeps one task, client, template, handler, or row from stopping another: bounds, limits, and places
-- of their own. Each part stands by itself.

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

create table tasker.slow_results (
    task_id         uuid not null,
    step            text not null,
    claim_no        int not null,
    tries           int not null default 0,
    first_tried_at  timestamptz,
    next_at         timestamptz not null,
    primary key (task_id, step, claim_no)
);
comment on table tasker.slow_results is
    'Results that are processed one by one, beside the queue: those that bring many instances into being, and those of a batch that took too long.';
comment on column tasker.slow_results.tries is
    'How often it took longer than the statement_timeout of the orchestrator, alone; first_tried_at: since when.';


create table tasker.held_requests (
    task_id    uuid primary key,
    namespace  text not null,
    held_no    bigint not null generated always as identity,
    next_at    timestamptz not null
);
create index held_requests_in_turn on tasker.held_requests (namespace, held_no);
comment on table tasker.held_requests is
    'Requests for new tasks that were taken out of their queue because many waited: they are handed out in turn by namespace.';
comment on column tasker.held_requests.next_at is
    'Not handed out before: an orchestrator has it.';



-- Part: claims, handlers, and heartbeats ----------------------------------------------------------------------

alter table tasker.settings
    add column max_claim_bytes int not null default 16777216 check (max_claim_bytes between 65536 and 67108864);
comment on column tasker.settings.max_claim_bytes is
    'Bytes, as text, of what one claim hands out: contexts, inputs, checkpoints, and results of parents. What does not fit stays in the queue; a step whose own inputs do not fit fails, one whose parents'' results do not reads them by pages.';
alter table tasker.tasks
    add column context_bytes int,
    add column largest_result int not null default 0;
comment on column tasker.tasks.context_bytes is
    'Bytes of the context as text; null: not measured.';
comment on column tasker.tasks.largest_result is
    'Bytes, as text, of the largest result that a step of the task has given: by it a claim knows without reading them what results of parents have at most.';
alter table tasker.steps add column result_bytes int;
comment on column tasker.steps.result_bytes is
    'Bytes of the result as text; null: there is none, or it was not measured.';

create table tasker.parked_handlers (
    namespace  text not null,
    handler    text not null,
    parked_at  timestamptz not null
);
create index parked_handlers_by_name on tasker.parked_handlers (namespace, handler);
comment on table tasker.parked_handlers is
    'Handlers that some live worker of a namespace lacks: their steps are parked, and not sent into its queue. No unique key: whoever parks a step must wait for nobody.';

create table tasker.parked_steps (
    parked_no  bigint generated always as identity primary key,
    namespace  text not null,
    handler    text not null,
    task_id    uuid not null,
    step       text not null,
    msg_id     bigint,
    parked_at  timestamptz not null
) with (autovacuum_vacuum_scale_factor = 0.05);
create index parked_steps_in_turn on tasker.parked_steps (namespace, handler, parked_no);
create index parked_steps_by_task on tasker.parked_steps (task_id);
comment on table tasker.parked_steps is
    'Steps that wait beside the queue of their namespace, first in, first out for each handler, so that workers without it need not read past them. They count as queued.';
comment on column tasker.parked_steps.msg_id is
    'The message of the claim whose lease ran out before; null: the step waits for its first claim, or was given back.';

alter table tasker.held_steps add column place text not null default '';
comment on column tasker.held_steps.place is
    'Where it will wait: the queue, or beside it with the steps of this handler. A max_depth bounds each by itself.';
drop index tasker.held_steps_in_turn;
create index held_steps_in_turn on tasker.held_steps (namespace, place, priority desc, held_no);



-- Part: attempts and lost leases ------------------------------------------------------------------------------

alter table tasker.settings
    add column max_lease_losses int not null default 20 check (max_lease_losses between 1 and 10000),
    add column max_worker_losses int not null default 4 check (max_worker_losses between 3 and 10000);
comment on column tasker.settings.max_lease_losses is
    'How many claims of a step may be lost in a row, none of them counted as an attempt, before the step fails.';

comment on column tasker.settings.max_worker_losses is
    'How many workers may die with a step before it fails: the first two whatever ran beside it, the others while it ran alone.';

alter table tasker.steps
    add column lease_losses int not null default 0,
    add column worker_losses int not null default 0,
    add column alone boolean not null default false;
comment on column tasker.steps.lease_losses is
    'Claims lost since the step last said anything or was restarted: leases that ran out, and what an outage took. Not attempts.';
comment on column tasker.steps.worker_losses is
    'How many of the lease_losses were, as far as can be told, the death of the worker. From two on it is run alone, and only deaths while it does are counted.';
comment on column tasker.steps.alone is
    'Whether its worker said that the present claim is run with no other step beside it.';



-- Part: limits of what clients and templates give -------------------------------------------------------------

alter table tasker.settings
    add column max_context_bytes          int not null default 1048576 check (max_context_bytes between 1024 and 104857600),
    add column max_contexts               int not null default 100000 check (max_contexts between 1 and 100000),
    add column max_reason_characters      int not null default 10000 check (max_reason_characters between 100 and 1000000),
    add column max_by_characters          int not null default 200 check (max_by_characters between 20 and 10000),
    add column max_idempotency_key_bytes  int not null default 500 check (max_idempotency_key_bytes between 36 and 2000),
    add column max_template_bytes         int not null default 4194304 check (max_template_bytes between 10240 and 104857600),
    add column max_template_steps         int not null default 10000 check (max_template_steps between 1 and 100000),
    add column max_template_edges         int not null default 100000 check (max_template_edges between 1 and 1000000),
    add column max_template_depth         int not null default 5000 check (max_template_depth between 1 and 100000),
    add column max_template_width         int not null default 5000 check (max_template_width between 1 and 100000);
comment on column tasker.settings.max_context_bytes is
    'Bytes of one task''s context, as text. All contexts of one enqueue_tasks together may have 64 times as many.';
comment on column tasker.settings.max_contexts is
    'How many tasks one enqueue_tasks may start.';
comment on column tasker.settings.max_reason_characters is
    'Characters of a reason or a note that an operator gives.';
comment on column tasker.settings.max_by_characters is
    'Characters of the name under which somebody acts (p_by).';
comment on column tasker.settings.max_idempotency_key_bytes is
    'Bytes of an idempotency key. PostgreSQL''s index holds no more than about 2,600.';
comment on column tasker.settings.max_template_bytes is
    'Bytes of a template''s definition, as JSON text.';
comment on column tasker.settings.max_template_steps is
    'How many steps a template may declare.';
comment on column tasker.settings.max_template_edges is
    'How many dependencies the steps of a template may have in all.';
comment on column tasker.settings.max_template_depth is
    'How many steps of a template may come one after the other.';
comment on column tasker.settings.max_template_width is
    'How many steps one step of a template may depend on, and how many may depend on it.';

alter table tasker.settings
    add column max_answer_bytes int not null default 16777216 check (max_answer_bytes between 65536 and 134217728);
comment on column tasker.settings.max_answer_bytes is
    'Bytes of the documents in one page of a list, as text: the page ends early, and the next one begins after its last row. A document larger than half of it is left out of a list.';



-- Part: who did it, and namespaces as a boundary --------------------------------------------------------------

create table tasker.operations (
    operation_id  bigint generated always as identity primary key,
    at            timestamptz not null,
    operation     text not null check (operation in ('apply', 'pause', 'resume', 'limit', 'prune', 'grant', 'revoke', 'set_setting')),
    namespace     text,
    said_by       text not null,
    reason        text,
    detail        jsonb
);
comment on table tasker.operations is
    'What was done to namespaces and to the whole engine, in the order it happened. Written by tasker''s functions only.';
create index operations_at on tasker.operations (at);

-- No foreign keys: a grant may come before the namespace does, and roles are not of this database.
create table tasker.namespace_grants (
    role       text not null,
    namespace  text not null,
    primary key (role, namespace)
);
comment on table tasker.namespace_grants is
    'Which namespaces a limited role may use. A role without a row, of its own or by membership, is not limited.';



-- Part: what operators are told ------------------------------------------------------------------------------

alter table tasker.dlq_entries
    drop constraint dlq_entries_reason_check,
    add constraint dlq_entries_reason_check check (reason in (
        'bad_message', 'staleness_timeout', 'max_retries_exceeded', 'permanent_failure', 'worker_unavailable',
        'manual')),
    drop constraint dlq_entries_status_check,
    add constraint dlq_entries_status_check check (status in (
        'pending', 'manually_resolved', 'permanent_failure', 'cancelled', 'ended_well'));

-- Part: installations ------------------------------------------------------------------------------------------

-- The audit has no key, and no index on every hop for one. Where a publication includes it (for all tables),
-- PostgreSQL refuses to delete from a table without an identity, and so would refuse to prune.
alter table tasker.task_transitions replica identity full;
alter table tasker.step_transitions replica identity full;

-- As many cursors as an instance count allows have a limit that a kilobyte each keeps: jsonb itself ends at 256 MB.
alter table tasker.settings add column max_cursors_bytes int not null default 134217728
    check (max_cursors_bytes between 1024 and 200000000);
comment on column tasker.settings.max_cursors_bytes is 'Bytes of all cursors of one batch together, as text.';

-- It has no unique key, so that nobody who parks a step waits for another.
alter table tasker.parked_handlers replica identity full;

-- Last ---------------------------------------------------------------------------------------------------------

comment on table tasker.settings is 'One row: what holds for the whole engine.';
