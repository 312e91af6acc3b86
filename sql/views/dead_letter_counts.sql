create view tasker.dead_letter_counts with (security_barrier) as
select
    d.reason,
    d.status,
    count(*) as entries,
    min(d.created_at) as oldest
from tasker.dead_letters d
where ((select tasker.limits()) is null or tasker.may_see_entry(d.queue, d.task_id))
group by d.reason, d.status;
comment on view tasker.dead_letter_counts is
    'Dead letters counted by reason and status.';
