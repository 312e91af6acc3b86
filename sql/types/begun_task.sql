create type tasker.begun_task as (
    task_id  uuid,
    steps    int,
    active   int,
    held     int
);
comment on type tasker.begun_task is
    'How many steps a new task has. active: those enqueued; held: those that wait for their time '
    'or for their namespace.';
