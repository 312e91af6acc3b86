-- The settings of the engine, its namespaces, and who may use them.
--
-- The files here make the tables. Functions, views, and triggers are in sql/ and are dropped and
-- created again at every change; so no default and no index of a table calls a function of ours.

create table tasker.settings (
    singleton                             boolean primary key default true check (singleton),

    -- Requests and answers.
    notify_on_enqueue                     boolean not null default true,
    max_context_bytes                     int not null default 1048576
        check (max_context_bytes between 1024 and 104857600),
    max_contexts                          int not null default 100000
        check (max_contexts between 1 and 100000),
    max_idempotency_key_bytes             int not null default 500
        check (max_idempotency_key_bytes between 36 and 2000),
    max_reason_characters                 int not null default 10000
        check (max_reason_characters between 100 and 1000000),
    max_by_characters                     int not null default 200
        check (max_by_characters between 20 and 10000),
    max_answer_bytes                      int not null default 16777216
        check (max_answer_bytes between 65536 and 134217728),

    -- Templates.
    max_template_bytes                    int not null default 4194304
        check (max_template_bytes between 10240 and 104857600),
    max_template_steps                    int not null default 10000
        check (max_template_steps between 1 and 100000),
    max_template_edges                    int not null default 100000
        check (max_template_edges between 1 and 1000000),
    max_template_depth                    int not null default 5000
        check (max_template_depth between 1 and 100000),
    max_template_width                    int not null default 5000
        check (max_template_width between 1 and 100000),
    max_decision_depth                    int not null default 10
        check (max_decision_depth > 0),

    -- Results and batches.
    max_result_bytes                      int not null default 1048576
        check (max_result_bytes between 1024 and 104857600),
    max_instances                         int not null default 100000
        check (max_instances between 1 and 1000000),
    max_cursors_bytes                     int not null default 134217728
        check (max_cursors_bytes between 1024 and 200000000),
    max_inline_results                    int not null default 100
        check (max_inline_results between 0 and 10000),

    -- Claims and workers.
    max_claim_bytes                       int not null default 16777216
        check (max_claim_bytes between 65536 and 67108864),
    max_lease_losses                      int not null default 20
        check (max_lease_losses between 1 and 10000),
    max_worker_losses                     int not null default 4
        check (max_worker_losses between 3 and 10000),
    max_without_worker_minutes            numeric not null default 5
        check (max_without_worker_minutes > 0),

    -- Stale and finished tasks.
    max_waiting_for_dependencies_minutes  numeric not null default 60
        check (max_waiting_for_dependencies_minutes > 0),
    max_waiting_for_retry_minutes         numeric not null default 30
        check (max_waiting_for_retry_minutes > 0),
    max_steps_in_process_minutes          numeric not null default 30
        check (max_steps_in_process_minutes > 0),
    max_duration_minutes                  numeric not null default 1440
        check (max_duration_minutes > 0),
    retention_days                        numeric not null default 30
        check (retention_days >= 0)
);
comment on table tasker.settings is
    'One row: what holds for the whole engine.';
comment on column tasker.settings.notify_on_enqueue is
    'Whether enqueue_task wakes an orchestrator at once. '
    'A notification makes commits wait for each other: '
    'turn it off under very heavy enqueueing and let the poll find the tasks.';
comment on column tasker.settings.max_context_bytes is
    'Bytes of one task''s context, as text. '
    'All contexts of one enqueue_tasks together may have 64 times as many.';
comment on column tasker.settings.max_contexts is
    'How many tasks one enqueue_tasks may start.';
comment on column tasker.settings.max_idempotency_key_bytes is
    'Bytes of an idempotency key. PostgreSQL''s index holds no more than about 2,600.';
comment on column tasker.settings.max_reason_characters is
    'Characters of a reason or a note that an operator gives.';
comment on column tasker.settings.max_by_characters is
    'Characters of the name under which somebody acts (p_by).';
comment on column tasker.settings.max_answer_bytes is
    'Bytes of the documents in one page of a list, as text: '
    'the page ends early, and the next one begins after its last row. '
    'A document larger than half of it is left out of a list.';
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
comment on column tasker.settings.max_decision_depth is
    'How many decisions may stand on one path of a template.';
comment on column tasker.settings.max_result_bytes is
    'Bytes of one step''s result, and of one checkpoint, as text.';
comment on column tasker.settings.max_instances is
    'How many instances one batch may have.';
-- At a kilobyte for each cursor, max_instances of them fit; jsonb itself ends at 256 MB.
comment on column tasker.settings.max_cursors_bytes is
    'Bytes of all cursors of one batch together, as text.';
comment on column tasker.settings.max_inline_results is
    'How many results of a batch are handed to the step after it with its claim.';
comment on column tasker.settings.max_claim_bytes is
    'Bytes, as text, of what one claim hands out: '
    'contexts, inputs, checkpoints, and results of parents. '
    'What does not fit stays in the queue; a step whose own inputs do not fit fails, '
    'one whose parents'' results do not reads them by pages.';
comment on column tasker.settings.max_lease_losses is
    'How many claims of a step may be lost in a row, none of them counted as an attempt, '
    'before the step fails.';
comment on column tasker.settings.max_worker_losses is
    'How many workers may die with a step before it fails: '
    'the first two whatever ran beside it, the others while it ran alone.';
comment on column tasker.settings.max_without_worker_minutes is
    'How long a step waits for a worker that has its handler before it becomes a dead letter.';
comment on column tasker.settings.max_waiting_for_dependencies_minutes is
    'When a task in this state counts as stale. A template may say otherwise.';
comment on column tasker.settings.max_waiting_for_retry_minutes is
    'When a task in this state counts as stale. A template may say otherwise.';
comment on column tasker.settings.max_steps_in_process_minutes is
    'When a task in this state counts as stale. A template may say otherwise.';
comment on column tasker.settings.max_duration_minutes is
    'When an unfinished task counts as stale. A template may say otherwise.';
comment on column tasker.settings.retention_days is
    'How long finished tasks are kept; 0: forever. A template may say otherwise.';

create table tasker.namespaces (
    namespace     text primary key
        check (namespace ~ '^[a-z][a-z0-9_]*$' and length(namespace) <= 33),
    events        boolean not null default false,
    -- A namespace with paused_at or max_depth is gated: what becomes ready there is held, and sent
    -- by priority.
    max_depth     int check (max_depth > 0),
    paused_at     timestamptz,
    pause_reason  text,
    created_at    timestamptz not null
);
comment on table tasker.namespaces is
    'A queue and the workers on it.';
comment on column tasker.namespaces.namespace is
    'At most 33 characters, so that <namespace>_domain_events is a legal queue name (47).';
comment on column tasker.namespaces.events is
    'Whether a template here publishes events that outlive the worker, '
    'so that the queue <namespace>_domain_events exists.';
comment on column tasker.namespaces.max_depth is
    'How many steps may wait in the queue; null: any number.';

-- Has no foreign keys: a grant may come before its namespace, and roles belong to the whole
-- cluster.
create table tasker.namespace_grants (
    role       text not null,
    namespace  text not null,
    primary key (role, namespace)
);
comment on table tasker.namespace_grants is
    'Which namespaces a limited role may use. '
    'A role without a row, of its own or by membership, is not limited.';
