-- What waits beside the queues of pgmq, so that no namespace, handler, or result delays the others.

create table tasker.held_requests (
    task_id    uuid primary key,
    namespace  text not null,
    held_no    bigint not null generated always as identity,
    next_at    timestamptz not null
);
-- The oldest of each namespace in turn.
create index held_requests_in_turn on tasker.held_requests (namespace, held_no);
comment on table tasker.held_requests is
    'Requests for new tasks, taken out of their queue because many waited. '
    'They are handed out in turn by namespace.';
comment on column tasker.held_requests.next_at is
    'Until then an orchestrator has the request, and it is not handed out again.';

create table tasker.held_steps (
    task_id    uuid not null,
    step       text not null,
    namespace  text not null,
    place      text not null default '',
    priority   int not null,
    held_no    bigint not null generated always as identity,
    primary key (task_id, step)
);
-- The turn of each place.
create index held_steps_in_turn on tasker.held_steps (namespace, place, priority desc, held_no);
comment on table tasker.held_steps is
    'Ready steps of namespaces that are paused or have a max_depth. '
    'They wait for their turn, by priority and then by age.';
comment on column tasker.held_steps.place is
    'Where it will wait: the queue (empty), or beside it with the steps of this handler. '
    'A max_depth bounds each place by itself.';

create table tasker.parked_steps (
    parked_no  bigint generated always as identity primary key,
    namespace  text not null,
    handler    text not null,
    task_id    uuid not null,
    step       text not null,
    msg_id     bigint,
    parked_at  timestamptz not null
) with (autovacuum_vacuum_scale_factor = 0.05);
-- The first of each handler.
create index parked_steps_in_turn on tasker.parked_steps (namespace, handler, parked_no);
-- Whether a step is parked, and which steps leave when their task ends.
create index parked_steps_by_task on tasker.parked_steps (task_id);
comment on table tasker.parked_steps is
    'Steps that wait beside the queue of their namespace, '
    'first in, first out for each handler, so that workers without the handler need not read past '
    'them. They count as queued.';
comment on column tasker.parked_steps.msg_id is
    'The message of the claim whose lease ran out before; '
    'null: the step waits for its first claim, or was given back.';

create table tasker.parked_handlers (
    namespace  text not null,
    handler    text not null,
    parked_at  timestamptz not null
);
-- Finds a handler. It is not unique, because a process that parks a step must wait for nobody.
create index parked_handlers_by_name on tasker.parked_handlers (namespace, handler);
-- The whole row is the identity: without one, a publication for all tables refuses to delete rows.
alter table tasker.parked_handlers replica identity full;
comment on table tasker.parked_handlers is
    'Handlers that some live worker of a namespace lacks. '
    'Their steps are parked instead of sent into its queue.';

create table tasker.slow_results (
    task_id         uuid not null,
    step            text not null,
    claim_no        int not null,
    tries           int not null default 0,
    first_tried_at  timestamptz,
    next_at         timestamptz not null,
    primary key (task_id, step, claim_no)
);
comment on table tasker.slow_results is
    'Results that are processed one by one, beside the queue: '
    'those that create many instances, and those of a batch that took too long.';
comment on column tasker.slow_results.tries is
    'How often the result alone took longer than the statement_timeout of the orchestrator; '
    'first_tried_at: when it was first tried.';
