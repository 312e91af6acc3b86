-- for: operator
-- planner: jit = off
create function tasker.add_dead_letter(
    p_task_id  uuid,
    p_notes    text default null,
    p_by       text default null
)
returns uuid
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_entry_id  uuid;
begin
    perform tasker.check_task(p_task_id);
    if not exists (select from tasker.tasks t where t.task_id = p_task_id) then
        perform tasker.refuse_unknown_task(p_task_id);
    end if;

    -- A task that has a pending entry keeps it, and the notes are added to that one.
    perform tasker.add_task_dead_letters(
        array[p_task_id],
        '{manual}',
        array[null::text],
        array['added by ' || tasker.said_by(p_by)]
    );
    update tasker.dead_letters d
    set notes = tasker.add_note(d.notes, p_notes, p_by)
    where d.task_id = p_task_id
      and d.status = 'pending'
      and d.reason <> 'bad_message'
    returning d.entry_id into v_entry_id;

    if v_entry_id is null then
        raise exception 'another transaction adds a dead letter for task %', p_task_id
            using errcode = 'TK034', hint = 'Try again when it has ended.';
    end if;
    return v_entry_id;
end
$$;
comment on function tasker.add_dead_letter(uuid, text, text) is
    'Puts a task among the dead letters by hand, with a snapshot; the task goes on as it is. '
    'Returns the entry: the pending one, with the notes added, where the task has one. '
    'Errors: TK004 no such task, TK034 another transaction adds one.';
