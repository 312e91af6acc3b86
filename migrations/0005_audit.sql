-- The audit: what happened to tasks, to steps, and to the engine.
--
-- The hops have no key, which would be an index more to write for every hop. A publication for all
-- tables includes them, and PostgreSQL refuses to delete from a table that it publishes without an
-- identity, so that prune would fail: the whole row is their identity.

create table tasker.task_transitions (
    transition_id  bigint generated always as identity,
    task_id        uuid not null,
    from_state     tasker.task_state not null,
    to_state       tasker.task_state not null,
    actor_id       uuid,
    reason         text,
    at             timestamptz not null
);
-- The hops of one task, to show or to prune.
create index task_transitions_by_task on tasker.task_transitions (task_id);
alter table tasker.task_transitions replica identity full;
comment on table tasker.task_transitions is
    'Audit: one row for every hop of a task. Written by trigger only.';

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
-- The hops of the steps of one task, to show or to prune.
create index step_transitions_by_task on tasker.step_transitions (task_id);
alter table tasker.step_transitions replica identity full;
comment on table tasker.step_transitions is
    'Audit: one row for every hop of a step. Written by trigger only.';

create table tasker.operations (
    operation_id  bigint generated always as identity primary key,
    operation     text not null check (
        operation in (
            'apply', 'pause', 'resume', 'limit', 'prune', 'grant', 'revoke', 'set_setting'
        )
    ),
    namespace     text,
    said_by       text not null,
    reason        text,
    at            timestamptz not null,
    detail        jsonb
);
-- For prune, which deletes the oldest.
create index operations_at on tasker.operations (at);
comment on table tasker.operations is
    'What was done to namespaces and to the whole engine, in the order it happened. '
    'Written by tasker''s functions only.';
