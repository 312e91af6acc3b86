-- The audit: what happened to tasks, to steps, and to the engine.
--
-- The whole row is the identity of a hop, since a key would be one more index to write for every
-- hop. Without an identity prune would fail: a publication for all tables includes the hops, and
-- PostgreSQL refuses to delete from a table that it publishes without one.

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
    'The audit of tasks: one row for every hop. Only triggers write it.';

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
    'The audit of steps: one row for every hop. Only triggers write it.';

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
    'The audit of namespaces and of the whole engine: one row for everything that was done, in the '
    'order it happened. Only tasker''s functions write it.';
