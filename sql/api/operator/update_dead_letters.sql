-- for: operator
-- planner: jit = off
create function tasker.update_dead_letters(
    p_filter  jsonb,
    p_status  text default null,
    p_notes   text default null,
    p_by      text default null,
    p_max     int default 100,
    p_after   uuid default null
)
returns table (done int, skipped int, last_entry uuid)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_entry  uuid;
begin
    perform tasker.check_max(p_max);
    perform tasker.check_dead_letter_filter(p_filter);
    perform tasker.check_dead_letter_status(p_status);

    done := 0;
    skipped := 0;
    foreach v_entry in array tasker.match_dead_letters(p_filter, p_after, p_max) loop
        last_entry := v_entry;
        begin
            perform tasker.update_dead_letter(v_entry, p_status, p_notes, p_by);
            done := done + 1;
        exception
            -- It is gone, or its task has another pending one.
            when sqlstate 'TK040' or sqlstate 'TK041' then
                skipped := skipped + 1;
        end;
    end loop;
    return next;
end
$$;
comment on function tasker.update_dead_letters(jsonb, text, text, text, int, uuid) is
    'Calls update_dead_letter for up to p_max dead letters that match a filter of '
    'retry_dead_letters. Call again with p_after = last_entry until that is null. '
    'Errors: TK030 filter, TK041 no such status, TK008 p_max.';
