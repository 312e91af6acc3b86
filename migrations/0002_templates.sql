-- Templates: the graphs that tasks run. A version is never changed.

-- Numbers templates.applied_no. A version that is applied or chosen gets the next one.
create sequence tasker.template_applied_no;

create table tasker.templates (
    template_id                           uuid primary key,
    namespace                             text not null references tasker.namespaces,
    name                                  text not null,
    version                               text not null,
    applied_no                            bigint not null,
    on_failure                            text not null check (on_failure in ('block', 'fail')),
    dynamic                               boolean not null default false,
    -- Null: what tasker.settings says.
    max_waiting_for_dependencies_minutes  numeric
        check (max_waiting_for_dependencies_minutes > 0),
    max_waiting_for_retry_minutes         numeric check (max_waiting_for_retry_minutes > 0),
    max_steps_in_process_minutes          numeric check (max_steps_in_process_minutes > 0),
    max_duration_minutes                  numeric check (max_duration_minutes > 0),
    retention_days                        numeric check (retention_days >= 0),
    created_at                            timestamptz not null,
    content_hash                          text not null,
    definition                            jsonb not null,
    input_schema                          jsonb,
    unique (namespace, name, version)
);
comment on table tasker.templates is
    'A named, versioned graph; never changed.';
comment on column tasker.templates.applied_no is
    'The version with the highest number is the current one, which a null version means.';
comment on column tasker.templates.dynamic is
    'Whether some of its steps are created only while a task runs.';

create table tasker.template_steps (
    template_id       uuid not null references tasker.templates,
    name              text not null,
    position          int not null,
    level             int not null,
    type              text not null default 'standard' check (
        type in ('standard', 'decision', 'deferred', 'batchable', 'batch_worker')
    ),
    handler           text not null,
    config            jsonb not null,
    max_attempts      int not null check (max_attempts > 0),
    backoff           text not null check (backoff in ('exponential', 'linear', 'fixed')),
    backoff_base_ms   bigint not null,
    max_backoff_ms    bigint not null,
    jitter            boolean not null,
    timeout           interval not null,
    lease             interval,
    failure_strategy  text check (failure_strategy in ('fail_fast', 'continue_on_failure')),
    -- What follows from the graph.
    parent_count      int not null,
    is_leaf           boolean not null,
    initial           boolean not null default true,
    after_batch       boolean not null default false,
    decision_depth    int not null default 0,
    primary key (template_id, name)
);
comment on table tasker.template_steps is
    'The steps of a template.';
comment on column tasker.template_steps.position is
    'Its place in the file.';
comment on column tasker.template_steps.level is
    'The longest path to it from a root.';
comment on column tasker.template_steps.lease is
    'How long a claim of this step holds; null: what the worker asks for.';
comment on column tasker.template_steps.initial is
    'Whether it exists from the start of a task.';
comment on column tasker.template_steps.after_batch is
    'Whether it depends on a batch_worker.';
comment on column tasker.template_steps.decision_depth is
    'Decisions on the longest path to it, itself included.';

create table tasker.template_edges (
    template_id  uuid not null references tasker.templates,
    parent       text not null,
    child        text not null,
    primary key (template_id, parent, child)
);
-- The primary key finds the children of a step, this index its parents.
create index template_edges_by_child on tasker.template_edges (template_id, child);
comment on table tasker.template_edges is
    'The dependencies between the steps of a template. Every step of a task is an instance of a '
    'template step, so tasks have no edges of their own.';

create table tasker.template_events (
    template_id  uuid not null references tasker.templates,
    step         text not null,
    name         text not null,
    position     int not null,
    version      text not null,
    delivery     text not null check (delivery in ('durable', 'fast', 'broadcast')),
    condition    text not null check (condition in ('success', 'failure', 'always', 'retry')),
    schema       jsonb,
    primary key (template_id, step, name)
);
comment on table tasker.template_events is
    'Domain events: what the steps of a template announce to other systems.';
comment on column tasker.template_events.schema is
    'The JSON Schema of the payload, which workers check; null: any payload.';
