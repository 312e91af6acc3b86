-- The tables of the engine. Functions, views, and triggers are in sql/ and are made anew at every change.
-- No default and no index here calls a function of ours, so that those can be dropped and created again.

create type tasker.task_state as enum (
    'pending', 'initializing', 'enqueuing_steps', 'steps_in_process', 'evaluating_results',
    'waiting_for_dependencies', 'waiting_for_retry', 'blocked_by_failures',
    'complete', 'error', 'cancelled', 'resolved_manually');

create type tasker.step_state as enum (
    'pending', 'enqueued', 'in_progress', 'enqueued_for_orchestration',
    'complete', 'error', 'cancelled', 'resolved_manually');

-- One row of settings.
create table tasker.settings (
    singleton           boolean primary key default true check (singleton),
    notify_on_enqueue   boolean not null default true
);
comment on table tasker.settings is 'One row. notify_on_enqueue: whether enqueue_task wakes an orchestrator at once; a notification makes commits wait for each other, so turn it off under very heavy enqueueing and let the poll find the tasks.';

create table tasker.namespaces (
    namespace   text primary key check (namespace ~ '^[a-z][a-z0-9_]*$' and length(namespace) <= 33),
    created_at  timestamptz not null
);
comment on table tasker.namespaces is 'A queue and the workers on it. At most 33 characters, so that <namespace>_domain_events is a legal queue name (47).';

-- Templates: immutable per version -----------------------------------------------------------------------------

create sequence tasker.template_applied_no;

create table tasker.templates (
    template_id   uuid primary key,
    namespace     text not null references tasker.namespaces,
    name          text not null,
    version       text not null,
    definition    jsonb not null,
    content_hash  text not null,
    input_schema  jsonb,
    on_failure    text not null check (on_failure in ('block', 'fail')),
    applied_no    bigint not null,
    created_at    timestamptz not null,
    unique (namespace, name, version)
);
comment on table tasker.templates is 'A named, versioned graph; never changed. The version with the highest applied_no is the one a null version means.';

create table tasker.template_steps (
    template_id      uuid not null references tasker.templates,
    name             text not null,
    position         int not null,
    level            int not null,
    type             text not null default 'standard' check (type in ('standard')),
    handler          text not null,
    config           jsonb not null,
    max_attempts     int not null check (max_attempts > 0),
    backoff          text not null check (backoff in ('exponential', 'linear', 'fixed')),
    backoff_base_ms  bigint not null,
    max_backoff_ms   bigint not null,
    jitter           boolean not null,
    timeout          interval not null,
    parent_count     int not null,
    is_leaf          boolean not null,
    primary key (template_id, name)
);
comment on table tasker.template_steps is 'The steps of a template. level: longest path from a root; position: order in the file.';

create table tasker.template_edges (
    template_id  uuid not null references tasker.templates,
    parent       text not null,
    child        text not null,
    primary key (template_id, parent, child)
);
create index template_edges_by_child on tasker.template_edges (template_id, child);
comment on table tasker.template_edges is 'Dependencies. Every step of a task is an instance of a template step, so tasks have no edges of their own.';

-- Tasks and steps ---------------------------------------------------------------------------------------------

create table tasker.tasks (
    task_id          uuid primary key,
    template_id      uuid not null references tasker.templates,
    namespace        text not null,
    name             text not null,
    state            tasker.task_state not null default 'pending',
    -- The hops between the previous state and this one, for the audit; valid when move_no was raised.
    via              tasker.task_state[] not null default '{}',
    move_no          int not null default 0,
    -- Counters, kept under the row's lock. The state is derived from them.
    remaining        int not null default 0,
    active           int not null default 0,
    held             int not null default 0,
    waiting_retry    int not null default 0,
    failed           int not null default 0,
    priority         int not null default 0,
    run_at           timestamptz,
    correlation_id   uuid not null,
    traceparent      text,
    idempotency_key  text,
    parent_task_id   uuid,
    error            jsonb,
    context          jsonb not null,
    created_at       timestamptz not null,
    updated_at       timestamptz not null,
    started_at       timestamptz,
    completed_at     timestamptz
) with (fillfactor = 60);
create unique index tasks_idempotency on tasker.tasks (namespace, name, idempotency_key) where idempotency_key is not null;
-- completed_at is written once, so updates in between stay free of index work.
create index tasks_unfinished on tasker.tasks (task_id) where completed_at is null;
comment on table tasker.tasks is 'One run of a template. remaining: steps not yet satisfied; active: enqueued, running, or with a result to process; held: ready but held back; waiting_retry: waiting for their backoff; failed: in error.';

create table tasker.steps (
    task_id        uuid not null,
    name           text not null,
    template_step  text not null,
    instance       int,
    state          tasker.step_state not null default 'pending',
    satisfied      boolean not null default false,
    waiting_on     int not null,
    attempt        int not null default 0,
    max_attempts   int not null,
    claim_no       int not null default 0,
    msg_id         bigint,
    worker_id      uuid,
    available_at   timestamptz,
    enqueued_at    timestamptz,
    started_at     timestamptz,
    completed_at   timestamptz,
    duration_ms    bigint,
    updated_at     timestamptz not null,
    created_at     timestamptz not null,
    inputs         jsonb,
    result         jsonb,
    checkpoint     jsonb,
    error          jsonb,
    primary key (task_id, name)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);
-- The only other index. Nothing here names a column that changes at every move, so that updates stay HOT.
create index steps_available on tasker.steps (available_at) where available_at is not null;
comment on table tasker.steps is 'The steps of each task. claim_no: raised by every claim, never reused, decides whose result counts. available_at: set while a ready step is not in a queue. msg_id: the message of the current claim.';

-- The rules of the state machines, and the audit ---------------------------------------------------------------

create table tasker.task_moves (
    from_state  tasker.task_state not null,
    to_state    tasker.task_state not null,
    via         tasker.task_state[] not null default '{}',
    primary key (from_state, to_state, via)
);
comment on table tasker.task_moves is 'Legal moves of a task in one update: from, to, and the states passed on the way, each of which is audited.';

create table tasker.step_moves (
    from_state  tasker.step_state not null,
    to_state    tasker.step_state not null,
    via         tasker.step_state[] not null default '{}',
    primary key (from_state, to_state)
);
comment on table tasker.step_moves is 'Legal moves of a step in one update, with the states passed on the way, each of which is audited.';

create table tasker.task_transitions (
    transition_id  bigint generated always as identity,
    task_id        uuid not null,
    from_state     tasker.task_state not null,
    to_state       tasker.task_state not null,
    actor_id       uuid,
    reason         text,
    at             timestamptz not null
);
create index task_transitions_by_task on tasker.task_transitions (task_id);
comment on table tasker.task_transitions is 'Audit: one row for every hop of a task. Written by trigger only.';

create table tasker.step_transitions (
    transition_id  bigint generated always as identity,
    task_id        uuid not null,
    name           text not null,
    from_state     tasker.step_state not null,
    to_state       tasker.step_state not null,
    attempt        int not null,
    actor_id       uuid,
    reason         text,
    at             timestamptz not null
);
create index step_transitions_by_task on tasker.step_transitions (task_id);
comment on table tasker.step_transitions is 'Audit: one row for every hop of a step. Written by trigger only.';

-- Dead letters, workers ---------------------------------------------------------------------------------------

create table tasker.dlq_entries (
    entry_id    uuid primary key,
    reason      text not null check (reason in ('bad_message')),
    queue       text,
    msg_id      bigint,
    message     jsonb,
    headers     jsonb,
    task_id     uuid,
    detail      text not null,
    created_at  timestamptz not null
);
create index dlq_entries_by_task on tasker.dlq_entries (task_id) where task_id is not null;
comment on table tasker.dlq_entries is 'Messages that no function could use, taken out of their queue so that the rest goes on.';

create table tasker.workers (
    worker_id   uuid primary key,
    namespaces  text[] not null,
    handlers    text[] not null,
    info        jsonb not null,
    started_at  timestamptz not null,
    last_seen   timestamptz not null
);
comment on table tasker.workers is 'Live workers by their heartbeat. For people: nothing in the engine depends on it.';
