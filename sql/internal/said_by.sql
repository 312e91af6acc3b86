create function tasker.said_by(p_by text) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    -- The HTTP API says which key or token it acts for.
    v_by text := coalesce(nullif(tasker.limited(p_by, 'p_by'), ''), nullif(current_setting('tasker.by', true), ''));
begin
    perform tasker.refuse_hidden(v_by, 'by');
    return case when coalesce(v_by, session_user) = session_user then session_user
                else format('%s (login %s)', v_by, session_user) end;
end
$$;
comment on function tasker.said_by(text) is 'Who acts, for the audit: "ana (login app)". What a caller says of itself never stands without its login. Error: TK052.';
