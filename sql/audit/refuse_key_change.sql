create function tasker.refuse_key_change()
returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception 'the key of a row in tasker.% cannot change', tg_table_name
        using errcode = 'TK021',
              hint = 'The audit would lose its thread: insert a new row instead.';
end
$$;
comment on function tasker.refuse_key_change() is
    'Trigger: keys of tasks and steps never change, so that no move escapes the audit.';

create trigger refuse_key_change
    before update of task_id on tasker.tasks
    for each row when (new.task_id <> old.task_id)
    execute function tasker.refuse_key_change();
alter table tasker.tasks enable always trigger refuse_key_change;

create trigger refuse_key_change
    before update of task_id, name on tasker.steps
    for each row when (new.task_id <> old.task_id or new.name <> old.name)
    execute function tasker.refuse_key_change();
alter table tasker.steps enable always trigger refuse_key_change;
