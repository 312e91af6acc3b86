-- The rows that every installation has. This file runs at each migration, after the tables and
-- before the grants, so that a database restored without its rows (pg_dump --schema-only) gets them
-- again.

insert into tasker.settings default values on conflict do nothing;

-- staleness and retention are sweeps over the unfinished and the finished tasks.
-- finished: up to when finished tasks have been counted for metrics.
-- traces: up to when ended tasks have been handed out for their spans.
insert into tasker.sweeps (name) values
    ('staleness'), ('retention'), ('finished'), ('traces'), ('clock')
on conflict do nothing;

insert into tasker.step_moves (from_state, to_state) values
    ('pending', 'enqueued'),
    ('enqueued', 'in_progress'),
    ('in_progress', 'in_progress'),
    ('in_progress', 'enqueued_for_orchestration'),
    ('in_progress', 'pending'),
    ('enqueued_for_orchestration', 'complete'),
    ('enqueued_for_orchestration', 'pending'),
    ('enqueued_for_orchestration', 'error'),
    ('pending', 'cancelled'), ('enqueued', 'cancelled'), ('in_progress', 'cancelled'),
    ('enqueued_for_orchestration', 'cancelled'),
    ('pending', 'resolved_manually'), ('enqueued', 'resolved_manually'),
    ('in_progress', 'resolved_manually'),
    ('enqueued_for_orchestration', 'resolved_manually'), ('error', 'resolved_manually'),
    ('cancelled', 'resolved_manually'),
    ('error', 'pending'), ('cancelled', 'pending'),
    -- Its condition is false, and it counts as done.
    ('pending', 'complete')
on conflict do nothing;
insert into tasker.step_moves (from_state, to_state, via) values
    ('pending', 'in_progress', '{enqueued}'),
    ('in_progress', 'enqueued', '{pending}'),
    ('in_progress', 'complete', '{enqueued_for_orchestration}'),
    -- A claim that finds that a step cannot be handed out, whatever its worker.
    ('enqueued', 'enqueued_for_orchestration', '{in_progress}'),
    ('pending', 'enqueued_for_orchestration', '{enqueued,in_progress}')
on conflict do nothing;

insert into tasker.task_moves (from_state, to_state) values
    ('pending', 'initializing'),
    ('initializing', 'enqueuing_steps'), ('initializing', 'complete'),
    ('initializing', 'waiting_for_dependencies'), ('initializing', 'error'),
    ('enqueuing_steps', 'steps_in_process'), ('enqueuing_steps', 'error'),
    ('steps_in_process', 'evaluating_results'),
    ('evaluating_results', 'enqueuing_steps'), ('evaluating_results', 'steps_in_process'),
    ('evaluating_results', 'waiting_for_dependencies'), ('evaluating_results', 'waiting_for_retry'),
    ('evaluating_results', 'blocked_by_failures'), ('evaluating_results', 'error'),
    ('evaluating_results', 'complete'),
    ('waiting_for_dependencies', 'evaluating_results'),
    ('waiting_for_retry', 'enqueuing_steps'), ('waiting_for_retry', 'evaluating_results'),
    ('blocked_by_failures', 'evaluating_results'), ('blocked_by_failures', 'error'),
    ('error', 'pending'), ('error', 'enqueuing_steps')
on conflict do nothing;
insert into tasker.task_moves (from_state, to_state)
    select f, t
    from
        unnest(enum_range(null, 'blocked_by_failures'::tasker.task_state)) f,
        unnest('{cancelled,resolved_manually}'::tasker.task_state[]) t
on conflict do nothing;
-- Initializing in one update.
insert into tasker.task_moves (from_state, to_state, via) values
    ('pending', 'steps_in_process', '{initializing,enqueuing_steps}'),
    ('pending', 'waiting_for_dependencies', '{initializing}'),
    ('pending', 'complete', '{initializing}'),
    ('pending', 'error', '{initializing}')
on conflict do nothing;
-- Evaluating in one update: from where a task rests to where it rests next.
insert into tasker.task_moves (from_state, to_state, via)
    select f, t, '{evaluating_results}'
    from
        unnest(
            '{steps_in_process,waiting_for_dependencies,'
            'waiting_for_retry,blocked_by_failures}'::tasker.task_state[]
        ) f,
        unnest(
            '{steps_in_process,waiting_for_dependencies,'
            'waiting_for_retry,blocked_by_failures,error,complete}'::tasker.task_state[]
        ) t
on conflict do nothing;
insert into tasker.task_moves (from_state, to_state, via)
    select f, 'steps_in_process', '{evaluating_results,enqueuing_steps}'
    from unnest(
        '{steps_in_process,waiting_for_dependencies,'
        'waiting_for_retry,blocked_by_failures}'::tasker.task_state[]
    ) f
on conflict do nothing;
insert into tasker.task_moves (from_state, to_state, via) values
    ('waiting_for_retry', 'steps_in_process', '{enqueuing_steps}')
on conflict do nothing;
-- A task in error begins again where its steps exist;
-- the hops in between are audited like all others.
insert into tasker.task_moves (from_state, to_state, via) values
    ('error', 'steps_in_process', '{enqueuing_steps}'),
    ('error', 'waiting_for_dependencies', '{enqueuing_steps,steps_in_process,evaluating_results}'),
    ('error', 'waiting_for_retry', '{enqueuing_steps,steps_in_process,evaluating_results}'),
    -- Its failed steps were all resolved while it was in error.
    ('error', 'complete', '{enqueuing_steps,steps_in_process,evaluating_results}')
on conflict do nothing;
