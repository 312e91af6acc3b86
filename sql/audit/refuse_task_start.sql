create function tasker.refuse_task_start()
returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception 'task % cannot begin in state %', new.task_id, new.state
        using errcode = 'TK022',
              hint = 'A task begins in pending: use tasker.enqueue_task.';
end
$$;
comment on function tasker.refuse_task_start() is
    'Trigger: a task begins in pending.';

create trigger refuse_start
    before insert on tasker.tasks
    for each row when (new.state <> 'pending')
    execute function tasker.refuse_task_start();
alter table tasker.tasks enable always trigger refuse_start;
