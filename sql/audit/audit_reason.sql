create function tasker.audit_reason(
    p_what    text,
    p_by      text,
    p_reason  text
)
returns text
language plpgsql stable as $$
begin
    perform tasker.refuse_hidden(p_reason, 'reason');
    return concat_ws(
        ': ',
        p_what || ' by ' || tasker.said_by(p_by),
        nullif(tasker.limited(p_reason, 'p_reason'), '')
    );
end
$$;
comment on function tasker.audit_reason(text, text, text) is
    'The reason in the audit of an operator''s move: who did what, and why, such as "retried by '
    'ana (login app): card network was down". Error: TK052.';
