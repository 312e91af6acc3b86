create type tasker.found_claim as (
    msg_id         bigint,
    old_id         bigint,
    task_id        uuid,
    name           text,
    template_id    uuid,
    template_step  text,
    namespace      text,
    handler        text,
    lease          interval,
    state          tasker.step_state,
    live           boolean,
    task_finished  boolean,
    fits           boolean,
    alone          boolean,
    lease_losses   int,
    worker_losses  int,
    worker_id      uuid,
    started_at     timestamptz,
    own            bigint,
    inherited      bigint,
    summaries      bigint,
    has_inputs     boolean
);
comment on type tasker.found_claim is
    'A message of a claim with the step that it names, which is locked. '
    'old_id: the message that it replaces. live: it may be claimed. '
    'fits: this worker may claim it. own: bytes of its documents; inherited: bytes of its '
    'parents'' results, at most; summaries: bytes of its batches'' summaries, and of inputs that '
    'are to be made, at most. has_inputs: its inputs are to be made (step_inputs).';
