create view tasker.dlq_counts with (security_barrier) as
select
    d.reason,
    d.status,
    count(*) as entries,
    min(d.created_at) as oldest
from tasker.dlq_entries d
where ((select tasker.limits()) is null or tasker.may_see_entry(d.queue, d.task_id))
group by d.reason, d.status;
comment on view tasker.dlq_counts is
    'Dead letters counted by reason and status.';
