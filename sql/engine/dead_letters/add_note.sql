create function tasker.add_note(
    p_notes  text,
    p_text   text,
    p_by     text
)
returns text
language plpgsql volatile as $$
declare
    v_by  text := tasker.said_by(p_by);
begin
    if nullif(p_text, '') is null then
        return p_notes;
    end if;
    perform tasker.refuse_hidden(translate(p_text, E'\n\t', ''), 'notes');

    -- Further lines are indented, so that none of them looks like another note.
    return concat_ws(
        E'\n',
        right(p_notes, 100000),
        format(
            '%s %s: %s',
            to_char(tasker.clock() at time zone 'utc', 'YYYY-MM-DD HH24:MI"Z"'),
            v_by,
            replace(tasker.limited(p_text, 'p_notes'), E'\n', E'\n    ')
        )
    );
end
$$;
comment on function tasker.add_note(text, text, text) is
    'Notes (the last 100,000 characters) with one more: when, who, what. '
    'p_by null: the session user. Error: TK052.';
