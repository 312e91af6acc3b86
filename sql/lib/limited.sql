create function tasker.limited(p_text text, p_what text) returns text
language plpgsql stable as $$
declare
    v_limits  tasker.settings;
    v_most    int;
begin
    -- Most texts are short, whatever the settings are.
    if p_text is null or octet_length(p_text) <= 20 then
        return p_text;
    end if;

    select s.*
    into v_limits
    from tasker.settings s;
    v_most := case p_what
        when 'p_by' then v_limits.max_by_characters
        else v_limits.max_reason_characters
    end;
    if length(p_text) > v_most then
        perform tasker.refuse_too_much(
            p_what,
            length(p_text),
            v_most,
            'characters',
            case p_what when 'p_by' then 'max_by_characters' else 'max_reason_characters' end
        );
    end if;
    return p_text;
end
$$;
comment on function tasker.limited(text, text) is
    'The text of a reason, a note, or p_by. Error: TK019 too long.';
