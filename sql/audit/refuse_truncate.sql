create function tasker.refuse_truncate()
returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception 'tasker.% cannot be truncated', tg_table_name
        using errcode = 'TK023',
              hint = 'Delete finished tasks instead; the audit is append-only.';
end
$$;
comment on function tasker.refuse_truncate() is
    'Trigger: refuses to truncate tasks, steps, and their audit.';

create trigger refuse_truncate
    before truncate on tasker.tasks
    for each statement execute function tasker.refuse_truncate();
alter table tasker.tasks enable always trigger refuse_truncate;

create trigger refuse_truncate
    before truncate on tasker.steps
    for each statement execute function tasker.refuse_truncate();
alter table tasker.steps enable always trigger refuse_truncate;

create trigger refuse_truncate
    before truncate on tasker.task_transitions
    for each statement execute function tasker.refuse_truncate();
alter table tasker.task_transitions enable always trigger refuse_truncate;

create trigger refuse_truncate
    before truncate on tasker.step_transitions
    for each statement execute function tasker.refuse_truncate();
alter table tasker.step_transitions enable always trigger refuse_truncate;
