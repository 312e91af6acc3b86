create type tasker.new_node as (
    task_id       uuid,
    template_id   uuid,
    step          text,
    type          text,
    level         int,
    position      int,
    max_attempts  int,
    parents       text[],
    reveals       boolean,
    error         jsonb
);
comment on type tasker.new_node is
    'A step of a dynamic task''s template that exists by now and has no row yet. '
    'parents: those that exist. error: it fails at once, as its condition cannot be judged.';
