create function tasker.said_by(p_by text)
returns text
language plpgsql stable as $$
declare
    v_by   text := nullif(p_by, '');
    -- The HTTP API says which key or token it acts for.
    v_for  text := nullif(current_setting('tasker.by', true), '');
begin
    if v_by ~ E'^[\\s\\u00a0\\u1680\\u2000-\\u200a\\u202f\\u205f\\u2800\\u3000]*$' then
        raise exception 'by is blank'
            using errcode = 'TK052',
                  hint = 'Say who acts, or leave it out: then it is the login.';
    elsif v_by ~* E'[(\\uff08]\\s*(login\\M|key\\s*:|token\\s*:)' then
        -- What is added below is known to be true; what a caller says of itself must not look like
        -- it.
        raise exception
            'by names a login, key, or token in brackets, as only the audit itself does'
            using errcode = 'TK052',
                  hint = 'Leave it out: the login, and the key or token of a request, are added.';
    end if;

    v_by := tasker.limited(
        case
            when v_by is null or v_for is null then coalesce(v_by, v_for)
            else format('%s (%s)', v_by, v_for)
        end,
        'p_by'
    );
    perform tasker.refuse_hidden(v_by, 'by');

    return case
        when coalesce(v_by, session_user) = session_user then session_user
        else format('%s (login %s)', v_by, session_user)
    end;
end
$$;
comment on function tasker.said_by(text) is
    'Who acts, for the audit: "ana (login app)", or through the HTTP API "ana (key:ci) (login '
    'app)". A name that a caller gives always has its login beside it. '
    'Error: TK052.';
