create function tasker.refuse_audit_change()
returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception 'tasker.% is append-only', tg_table_name
        using errcode = 'TK024',
              hint = 'Audit rows are never changed.';
end
$$;
comment on function tasker.refuse_audit_change() is
    'Trigger: audit rows are written once.';

create trigger refuse_change
    before update on tasker.task_transitions
    for each statement execute function tasker.refuse_audit_change();
alter table tasker.task_transitions enable always trigger refuse_change;

create trigger refuse_change
    before update on tasker.step_transitions
    for each statement execute function tasker.refuse_audit_change();
alter table tasker.step_transitions enable always trigger refuse_change;

create trigger refuse_change
    before update on tasker.operations
    for each statement execute function tasker.refuse_audit_change();
alter table tasker.operations enable always trigger refuse_change;
