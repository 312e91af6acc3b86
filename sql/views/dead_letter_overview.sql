create view tasker.dead_letter_overview with (security_barrier) as
select
    d.entry_id,
    d.reason,
    d.status,
    r.priority,
    d.task_id,
    t.namespace,
    t.name,
    d.step,
    t.state as task_state,
    d.queue,
    d.detail,
    d.notes,
    n.at - d.created_at as age,
    d.created_at,
    d.resolved_by,
    d.resolved_at
-- The time is asked for once, because most of a hundred thousand entries are only sorted.
from (select tasker.now() as at offset 0) n
cross join tasker.dead_letters d
join (
    values
        ('worker_unavailable', 1),
        ('max_retries_exceeded', 2),
        ('permanent_failure', 3),
        ('manual', 4),
        ('staleness_timeout', 5),
        ('bad_message', 6)
) r(reason, priority) on r.reason = d.reason
left join tasker.tasks t on t.task_id = d.task_id
where ((select tasker.limits()) is null or tasker.may_see_entry(d.queue, d.task_id))
order by d.status <> 'pending', r.priority, d.created_at, d.entry_id;
comment on view tasker.dead_letter_overview is
    'Dead letters in the order to look at them: pending first, '
    'by reason (priority 1: whole namespaces stand still), then the oldest. '
    'task_state: now; snapshot and message are in dead_letters.';
