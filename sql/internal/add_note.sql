create function tasker.add_note(p_notes text, p_text text, p_by text) returns text
language sql volatile set search_path = pg_catalog, pg_temp as $$
    select case when nullif(p_text, '') is null then p_notes
                else concat_ws(E'\n', right(p_notes, 100000), format('%s %s: %s', to_char(tasker.clock() at time zone 'utc', 'YYYY-MM-DD HH24:MI"Z"'), coalesce(nullif(tasker.limited(p_by, 'p_by'), ''), session_user), tasker.limited(p_text, 'p_notes'))) end
$$;
comment on function tasker.add_note(text, text, text) is 'Notes (the last 100,000 characters) with one line more: when, who, what. p_by null: the session''s user.';
