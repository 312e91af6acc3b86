-- Dead letters: what people should look at.

create table tasker.dead_letters (
    entry_id     uuid primary key,
    reason       text not null check (
        reason in (
            'bad_message',
            'staleness_timeout',
            'max_retries_exceeded',
            'permanent_failure',
            'worker_unavailable',
            'manual'
        )
    ),
    status       text not null default 'pending' check (
        status in (
            'pending', 'manually_resolved', 'permanent_failure', 'cancelled', 'ended_well'
        )
    ),
    task_id      uuid,
    step         text,
    queue        text,
    msg_id       bigint,
    detail       text not null,
    notes        text,
    created_at   timestamptz not null,
    resolved_at  timestamptz,
    resolved_by  text,
    snapshot     jsonb,
    message      jsonb,
    headers      jsonb
);
-- The entries of a task.
create index dead_letters_by_task on tasker.dead_letters (task_id) where task_id is not null;
-- A task has at most one entry to look at. A bad message is no entry of its task: it may name any.
create unique index dead_letters_one_pending on tasker.dead_letters (task_id)
    where status = 'pending' and reason <> 'bad_message';
-- For prune, which deletes the oldest.
create index dead_letters_closed on tasker.dead_letters (resolved_at)
    where resolved_at is not null;
comment on table tasker.dead_letters is
    'Tasks that stand still, and messages that no function could use: they were taken out of their '
    'queue so that the rest goes on. An entry changes nothing by itself.';
comment on column tasker.dead_letters.snapshot is
    'The task and its steps when the entry was made.';
