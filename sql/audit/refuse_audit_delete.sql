create function tasker.refuse_audit_delete()
returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_task_id  uuid;
begin
    select o.task_id
    into v_task_id
    from (select distinct o.task_id from old_rows o) o
    where exists (
        select from tasker.tasks t
        where t.task_id = o.task_id
    )
    limit 1;
    if found then
        raise exception 'the audit of task % cannot be deleted', v_task_id
            using errcode = 'TK024',
                  hint = 'Audit rows go with their task: '
                         'tasker.prune removes both after the retention.';
    end if;
    return null;
end
$$;
comment on function tasker.refuse_audit_delete() is
    'Trigger: audit rows are deleted only after their task.';

create trigger refuse_delete
    after delete on tasker.task_transitions
    referencing old table as old_rows
    for each statement execute function tasker.refuse_audit_delete();
alter table tasker.task_transitions enable always trigger refuse_delete;

create trigger refuse_delete
    after delete on tasker.step_transitions
    referencing old table as old_rows
    for each statement execute function tasker.refuse_audit_delete();
alter table tasker.step_transitions enable always trigger refuse_delete;
