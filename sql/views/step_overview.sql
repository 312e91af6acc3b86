create view tasker.step_overview with (security_barrier) as
select
    s.task_id,
    s.name as step,
    s.template_step,
    p.type,
    s.instance,
    p.handler,
    s.state,
    s.attempt,
    s.max_attempts,
    s.claim_no,
    s.waiting_on,
    s.available_at,
    s.error,
    s.result,
    s.inputs,
    s.checkpoint,
    s.worker_id,
    s.enqueued_at,
    s.started_at,
    s.completed_at,
    s.duration_ms,
    coalesce(s.completed_at, s.updated_at) - s.started_at as duration,
    p.level,
    p.position,
    case
        when s.state = 'enqueued' then tasker.missing_worker(t.namespace, p.handler)
    end as waiting_for
from tasker.steps s
join tasker.tasks t on t.task_id = s.task_id
join tasker.template_steps p on p.template_id = t.template_id and p.name = s.template_step
where ((select tasker.limits()) is null
    or t.namespace = any ((select tasker.limits())::text[]));
comment on view tasker.step_overview is
    'Every step with its handler. instance: the number of one step of a batch. '
    'inputs: what its handler was given, or that step''s cursor. '
    'duration_ms: the handler''s, as its worker measured it; duration: of the last attempt, from '
    'its claim. waiting_for: why a step in the queue waits, if no live worker has its handler.';
