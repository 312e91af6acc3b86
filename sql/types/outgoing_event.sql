create type tasker.outgoing_event as (
    namespace  text,
    task_id    uuid,
    step       text,
    message    jsonb,
    problem    text
);
comment on type tasker.outgoing_event is
    'An event of an accepted result with the message made of it. '
    'problem: why it cannot be sent; null: it can be sent; empty: it stays in the worker''s own '
    'process.';
