-- Tasks and their steps, and how their states may change.

create type tasker.task_state as enum (
    'pending',
    'initializing',
    'enqueuing_steps',
    'steps_in_process',
    'evaluating_results',
    'waiting_for_dependencies',
    'waiting_for_retry',
    'blocked_by_failures',
    'complete',
    'error',
    'cancelled',
    'resolved_manually'
);

create type tasker.step_state as enum (
    'pending',
    'enqueued',
    'in_progress',
    'enqueued_for_orchestration',
    'complete',
    'error',
    'cancelled',
    'resolved_manually'
);

create table tasker.tasks (
    -- The columns of a fixed width stand first, so that alignment takes no room between them.
    task_id          uuid primary key,
    template_id      uuid not null references tasker.templates,
    correlation_id   uuid not null,
    parent_task_id   uuid,
    state            tasker.task_state not null default 'pending',
    move_no          int not null default 0,
    -- Counters of its steps, kept under the row's lock. The state is derived from them.
    remaining        int not null default 0,
    active           int not null default 0,
    held             int not null default 0,
    waiting_retry    int not null default 0,
    failed           int not null default 0,
    priority         int not null default 0,
    largest_result   int not null default 0,
    context_bytes    int,
    created_at       timestamptz not null,
    updated_at       timestamptz not null,
    run_at           timestamptz,
    started_at       timestamptz,
    completed_at     timestamptz,

    namespace        text not null,
    name             text not null,
    idempotency_key  text,
    traceparent      text,
    via              tasker.task_state[] not null default '{}',
    context          jsonb not null,
    result           jsonb,
    error            jsonb
) with (fillfactor = 60);
-- One task of a template for each key that a client gives.
create unique index tasks_idempotency on tasker.tasks (namespace, name, idempotency_key)
    where idempotency_key is not null;
-- Written once with the task; by default it is the task's own id, so that the index grows at its
-- end.
create index tasks_by_correlation on tasker.tasks (correlation_id);
-- Unfinished tasks by their key, for the sweeps, and finished ones by template, oldest first, for
-- retention. Both name completed_at, which is written once: the updates before stay free of index
-- work.
create index tasks_unfinished on tasker.tasks (task_id) where completed_at is null;
create index tasks_finished on tasker.tasks (template_id, completed_at)
    where completed_at is not null;
comment on table tasker.tasks is
    'One run of a template.';
comment on column tasker.tasks.via is
    'The hops between the previous state and this one, for the audit; '
    'valid when move_no was raised.';
comment on column tasker.tasks.remaining is
    'Steps not yet satisfied.';
comment on column tasker.tasks.active is
    'Steps that are enqueued, running, or with a result to process.';
comment on column tasker.tasks.held is
    'Steps that are ready but held back.';
comment on column tasker.tasks.waiting_retry is
    'Steps that wait for their backoff.';
comment on column tasker.tasks.failed is
    'Steps in error.';
comment on column tasker.tasks.largest_result is
    'Bytes, as text, of the largest result that a step of the task has given. '
    'It bounds the results of parents, so that a claim need not read them.';
comment on column tasker.tasks.context_bytes is
    'Bytes of the context as text; null: not measured.';
comment on column tasker.tasks.result is
    'The result that an operator gave when resolving the task.';

create table tasker.steps (
    task_id        uuid not null,
    name           text not null,
    template_step  text not null,
    -- The columns of a fixed width stand together, so that alignment takes little room.
    state          tasker.step_state not null default 'pending',
    waiting_on     int not null,
    attempt        int not null default 0,
    max_attempts   int not null,
    claim_no       int not null default 0,
    lease_losses   int not null default 0,
    worker_losses  int not null default 0,
    satisfied      boolean not null default false,
    decides        boolean not null default false,
    reveals        boolean not null default false,
    alone          boolean not null default false,
    created_at     timestamptz not null,
    updated_at     timestamptz not null,
    available_at   timestamptz,
    enqueued_at    timestamptz,
    started_at     timestamptz,
    completed_at   timestamptz,
    duration_ms    bigint,
    msg_id         bigint,
    worker_id      uuid,
    result_bytes   int,
    instance       int,

    inputs         jsonb,
    result         jsonb,
    checkpoint     jsonb,
    error          jsonb,
    decided        jsonb,
    primary key (task_id, name)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);
-- The only index besides the key. Neither names a column that changes at every move, so that
-- updates stay HOT.
create index steps_available on tasker.steps (available_at) where available_at is not null;
comment on table tasker.steps is
    'The steps of each task.';
comment on column tasker.steps.claim_no is
    'The number of the latest claim, raised by each and never reused: it decides whose result '
    'counts.';
comment on column tasker.steps.lease_losses is
    'Claims lost since the step last said anything or was restarted: '
    'leases that ran out, and claims that an outage took. They do not count as attempts.';
comment on column tasker.steps.worker_losses is
    'How many of the lease_losses were, as far as can be told, deaths of the worker. '
    'From two on the step runs alone, and only deaths while it runs alone are counted.';
comment on column tasker.steps.decides is
    'Whether its outcome decides which steps are created.';
comment on column tasker.steps.reveals is
    'Whether other steps may come into being when it ends well: conditions look at it, or it may '
    'be skipped.';
comment on column tasker.steps.alone is
    'Whether its worker has said that it runs no other step beside the present claim.';
comment on column tasker.steps.available_at is
    'When a ready step is due; set only while it is not in a queue.';
comment on column tasker.steps.msg_id is
    'The message of the current claim.';
comment on column tasker.steps.result_bytes is
    'Bytes of the result as text; null: no result, or it was not measured.';
comment on column tasker.steps.instance is
    'The number of one step of a batch.';
comment on column tasker.steps.inputs is
    'The cursor of one step of a batch.';
comment on column tasker.steps.checkpoint is
    '{"cursor","items_processed","accumulated"}.';
comment on column tasker.steps.decided is
    '{"create_steps"}, {"skip"}, or {"worker_step","cursors"}: '
    'the cursors until the instances are there, then their number.';

create table tasker.task_moves (
    from_state  tasker.task_state not null,
    to_state    tasker.task_state not null,
    via         tasker.task_state[] not null default '{}',
    primary key (from_state, to_state, via)
);
comment on table tasker.task_moves is
    'Legal moves of a task in one update: from, to, and the states passed on the way, '
    'each of which is audited.';

create table tasker.step_moves (
    from_state  tasker.step_state not null,
    to_state    tasker.step_state not null,
    via         tasker.step_state[] not null default '{}',
    primary key (from_state, to_state)
);
comment on table tasker.step_moves is
    'Legal moves of a step in one update, with the states passed on the way, '
    'each of which is audited.';
