create view tasker.dead_letter_details with (security_barrier) as
select
    d.entry_id,
    d.snapshot,
    d.message,
    d.headers
from tasker.dead_letters d
where ((select tasker.limits()) is null or tasker.may_see_entry(d.queue, d.task_id));
comment on view tasker.dead_letter_details is
    'The content of a dead letter: the snapshot of its task, or its message.';
