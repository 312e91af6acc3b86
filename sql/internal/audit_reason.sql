create function tasker.audit_reason(p_what text, p_by text, p_reason text) returns text
language sql stable as $$
    select concat_ws(': ', p_what || ' by ' || coalesce(nullif(tasker.limited(p_by, 'p_by'), ''), session_user), nullif(tasker.limited(p_reason, 'p_reason'), ''))
$$;
comment on function tasker.audit_reason(text, text, text) is 'Who did what, and why, as the audit of an operator''s move says it: "retried by ana: card network was down".';
