-- for: operator
-- planner: jit = off
create function tasker.update_dead_letter(
    p_entry_id  uuid,
    p_status    text default null,
    p_notes     text default null,
    p_by        text default null
)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform tasker.check_entry(p_entry_id);
    perform tasker.check_dead_letter_status(p_status);

    begin
        update tasker.dead_letters d
        set notes = tasker.add_note(d.notes, p_notes, p_by),
            status = coalesce(p_status, d.status),
            resolved_by = case coalesce(p_status, d.status)
                when 'pending' then null
                when d.status then d.resolved_by
                else tasker.said_by(p_by)
            end,
            resolved_at = case coalesce(p_status, d.status)
                when 'pending' then null
                when d.status then d.resolved_at
                else tasker.clock()
            end
        where d.entry_id = p_entry_id;

        if not found then
            perform tasker.refuse_unknown_dead_letter(p_entry_id);
        end if;
    exception
        when unique_violation then
            raise exception 'the task of dead letter % has another one pending', p_entry_id
                using
                    errcode = 'TK041',
                    hint = 'Go on with that one: a task has one pending entry at a time.';
    end;
end
$$;
comment on function tasker.update_dead_letter(uuid, text, text, text) is
    'Sets the status of a dead letter (null: unchanged) and adds a line to its notes; its task is '
    'not touched. Errors: TK040 no such entry, TK041 no such status, or the task has another entry '
    'pending.';
