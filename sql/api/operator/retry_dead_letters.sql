-- for: operator
-- planner: jit = off
create function tasker.retry_dead_letters(
    p_filter  jsonb,
    p_reason  text default null,
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

    done := 0;
    skipped := 0;
    foreach v_entry in array tasker.match_dead_letters(p_filter, p_after, p_max) loop
        last_entry := v_entry;
        begin
            perform tasker.retry_dead_letter(v_entry, p_reason, p_by);
            done := done + 1;
        -- An entry with nothing to replay, or closed or held meanwhile, does not stop the others.
        exception
            when sqlstate 'TK040'
              or sqlstate 'TK041'
              or sqlstate 'TK042'
              or sqlstate 'TK004'
              or sqlstate 'TK034' then
                skipped := skipped + 1;
        end;
    end loop;
    return next;
end
$$;
comment on function tasker.retry_dead_letters(jsonb, text, text, int, uuid) is
    'Calls retry_dead_letter for up to p_max pending dead letters that match a filter: an object '
    'with at least one of reason, status, namespace, name, step, queue, created_after, '
    'created_before. skipped: those that could not be replayed, and stay as they are. '
    'Call again with p_after = last_entry until that is null. '
    'Errors: TK030 filter, TK008 p_max.';
