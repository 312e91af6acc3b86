create function tasker.refuse_hidden(p_text text, p_what text) returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    -- Control characters, and those that turn the direction of what is written: a line of an audit must be one line, and
    -- must read as it is.
    if p_text ~ E'[\\x01-\\x1f\\x7f-\\x9f\\u061c\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u2069]' then
        raise exception '% has control characters, or characters that change the direction of text', p_what
            using errcode = 'TK052', hint = 'Write it in one line of visible characters.';
    end if;
end
$$;
comment on function tasker.refuse_hidden(text, text) is 'Raises TK052 where a text has characters that an audit would not show as they are.';
