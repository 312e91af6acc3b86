create view tasker.dlq_counts as
select d.reason, d.status, count(*) as entries, min(d.created_at) as oldest from tasker.dlq_entries d group by d.reason, d.status;
comment on view tasker.dlq_counts is 'Dead letters counted by reason and status.';
