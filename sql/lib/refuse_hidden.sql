create function tasker.refuse_hidden(p_text text, p_what text)
returns void
language plpgsql immutable as $$
begin
    -- A line of an audit must be one line, and must read as it is.
    if tasker.has_hidden(p_text) then
        raise exception
            '% has control characters, characters that change the direction of text, '
            'or characters that show nothing',
            p_what
            using errcode = 'TK052',
                  hint = 'Write it in one line of visible characters.';
    end if;
end
$$;
comment on function tasker.refuse_hidden(text, text) is
    'Raises TK052 if a text has characters that an audit would not show as they are.';
