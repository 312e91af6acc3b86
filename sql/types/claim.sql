create type tasker.claim as (
    task_id         uuid,
    step            text,
    template_id     uuid,
    template_step   text,
    handler         text,
    attempt         int,
    claim_no        int,
    context         jsonb,
    inputs          jsonb,
    parents         jsonb,
    checkpoint      jsonb,
    timeout         interval,
    correlation_id  uuid,
    traceparent     text,
    lease           interval,
    enqueued_at     timestamptz,
    claimed_at      timestamptz,
    expired         boolean,
    lease_losses    int,
    run_alone       boolean
);
comment on type tasker.claim is
    'A step that a worker has claimed, with all that its handler needs. '
    'Made by claimed_steps; claim_steps and complete_steps return it.';
