create view tasker.batch_overview with (security_barrier) as
select
    b.task_id,
    w.name as step,
    b.name as batchable,
    w.failure_strategy,
    i.instances,
    i.complete,
    i.failed,
    i.cancelled,
    i.running,
    i.waiting,
    i.items_done,
    i.items_total,
    b.completed_at as created_at,
    case when i.open = 0 then coalesce(i.completed_at, b.completed_at) end as completed_at
from tasker.template_steps w
join tasker.template_edges e on e.template_id = w.template_id and e.child = w.name
join tasker.tasks t on t.template_id = w.template_id
join tasker.steps b
    on b.task_id = t.task_id
    and b.name = e.parent
    and b.satisfied
cross join lateral (
    select
        count(*) as instances,
        count(*) filter (where s.satisfied and s.state <> 'error') as complete,
        count(*) filter (where s.state = 'error') as failed,
        count(*) filter (where s.state = 'cancelled') as cancelled,
        count(*) filter (where s.state = 'in_progress') as running,
        count(*) filter (
            where s.state in ('pending', 'enqueued', 'enqueued_for_orchestration')
        ) as waiting,
        count(*) filter (
            where s.state in ('pending', 'enqueued', 'in_progress', 'enqueued_for_orchestration')
        ) as open,
        least(
            coalesce(
                sum(case
                    when s.satisfied and s.state <> 'error' then n.items
                    else least(
                        case
                            when s.checkpoint ->> 'items_processed' ~ '^[0-9]{1,18}$' then
                                (s.checkpoint ->> 'items_processed')::bigint
                            else 0
                        end,
                        n.items
                    )
                end),
                0
            ),
            9e18
        )::bigint as items_done,
        least(coalesce(sum(n.items), 0), 9e18)::bigint as items_total,
        max(s.completed_at) as completed_at
    from tasker.steps s
    cross join lateral (select tasker.cursor_items(s.inputs) as items offset 0) n
    where s.task_id = b.task_id
      and s.template_step = w.name
) i
where w.type = 'batch_worker'
  and ((select tasker.limits()) is null
      or t.namespace = any ((select tasker.limits())::text[]));
comment on view tasker.batch_overview is
    'Every batch whose cursors are known, by its batch_worker: instances by state, and progress in '
    'items. An instance has end - start items if its cursor has these numbers, else one; an '
    'incomplete instance counts the items of its checkpoint. '
    'created_at: when its batchable ended; completed_at: null while instances are left. '
    'Query by task_id.';
