create type tasker.first_steps as (
    begun        tasker.begun_task[],
    ready_tasks  uuid[],
    ready_steps  text[],
    held_tasks   uuid[],
    held_steps   text[],
    due          timestamptz
);
comment on type tasker.first_steps is
    'The first steps of new tasks: how many each has, those to be sent, those to be held, and when '
    'the first is due that waits for the start of its task.';
