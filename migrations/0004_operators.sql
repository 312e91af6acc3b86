-- What operators look for.

-- Written once with the task; by default it is the task's own id, so that the index grows at its end.
create index tasks_by_correlation on tasker.tasks (correlation_id);
