create type tasker.settled_step as (
    task_id        uuid,
    template_id    uuid,
    step           text,
    template_step  text,
    state          tasker.step_state,
    available_at   timestamptz,
    error          jsonb,
    satisfied      boolean,
    decides        boolean,
    reveals        boolean,
    bytes          int
);
comment on type tasker.settled_step is
    'A step whose result was processed, as one phase of a batch passes it to the next. '
    'satisfied: its children need not wait for it. bytes: the size of its result.';
