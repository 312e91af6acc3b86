create view tasker.batch_overview with (security_barrier) as
select
    batchable.task_id,
    worker.name as step,
    batchable.name as batchable,
    worker.failure_strategy,
    batch.instances,
    batch.complete,
    batch.failed,
    batch.cancelled,
    batch.running,
    batch.waiting,
    batch.items_done,
    batch.items_total,
    batchable.completed_at as created_at,
    case
        when batch.open = 0 then coalesce(batch.completed_at, batchable.completed_at)
    end as completed_at
from tasker.template_steps worker
join tasker.template_edges edge
    on edge.template_id = worker.template_id
    and edge.child = worker.name
join tasker.tasks task on task.template_id = worker.template_id
join tasker.steps batchable
    on batchable.task_id = task.task_id
    and batchable.name = edge.parent
    and batchable.satisfied
    and batchable.state <> 'error'
cross join lateral (
    select
        count(*) as instances,
        count(*) filter (where step.satisfied and step.state <> 'error') as complete,
        count(*) filter (where step.state = 'error') as failed,
        count(*) filter (where step.state = 'cancelled') as cancelled,
        count(*) filter (where step.state = 'in_progress') as running,
        count(*) filter (
            where step.state in ('pending', 'enqueued', 'enqueued_for_orchestration')
        ) as waiting,
        count(*) filter (
            where step.state in ('pending', 'enqueued', 'in_progress', 'enqueued_for_orchestration')
        ) as open,
        least(
            coalesce(
                sum(case
                    when step.satisfied and step.state <> 'error' then size.items
                    else least(
                        case
                            when step.checkpoint ->> 'items_processed' ~ '^[0-9]{1,18}$' then
                                (step.checkpoint ->> 'items_processed')::bigint
                            else 0
                        end,
                        size.items
                    )
                end),
                0
            ),
            9e18
        )::bigint as items_done,
        least(coalesce(sum(size.items), 0), 9e18)::bigint as items_total,
        max(step.completed_at) as completed_at
    from tasker.steps step
    cross join lateral (select tasker.cursor_items(step.inputs) as items offset 0) size
    where step.task_id = batchable.task_id
      and step.template_step = worker.name
) batch
where worker.type = 'batch_worker'
  and ((select tasker.limits()) is null
      or task.namespace = any ((select tasker.limits())::text[]));
comment on view tasker.batch_overview is
    'Every batch whose cursors are known, by its batch_worker: instances by state, and progress in '
    'items. An instance has end - start items if its cursor has these numbers, else one; an '
    'incomplete instance counts the items of its checkpoint. '
    'created_at: when its batchable ended; completed_at: null while instances are left. '
    'Query by task_id.';
