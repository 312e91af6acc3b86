create function tasker.check_placeholders(
    p_text     text,
    p_path     text,
    p_secrets  boolean,
    p_inputs   jsonb
)
returns table (path text, code text, message text)
language sql stable as $$
    select p_path, c.code, c.message
    from (
        select distinct on (t.token) t.token, t.n
        from (
            select m[1] as token, n
            from regexp_matches(
                p_text, '[{][{]|[}][}]|[{][^{}]*[}]|[{}]', 'g') with ordinality r(m, n)
        ) t
        where t.token not in ('{{', '}}')
        order by t.token, t.n
    ) t
    cross join lateral (
        select 'invalid_placeholder', format(
            '%s is no place for a value: write {name} for a key of the step''s inputs, a name of '
            'letters, digits, _, and -; {secret:NAME} for a secret; {{ and }} for braces',
            left(t.token, 100))
        where t.token !~ '^[{]([A-Za-z_][A-Za-z0-9_-]*|secret:[^{}]*)[}]$'
        union all
        select 'invalid_secret', format(
            '%s is not a valid secret: write {secret:NAME} with a name of A-Z, 0-9, and _ that '
            'does not end in _HOSTS',
            left(t.token, 100))
        where t.token ~ '^[{]secret:[^{}]*[}]$'
          and p_secrets
          and (
              t.token !~ '^[{]secret:[A-Z][A-Z0-9_]{0,63}[}]$'
              or t.token ~ '_HOSTS[}]$'
          )
        union all
        select 'invalid_secret', format(
            '%s cannot be sent here: secrets go into headers and query only', left(t.token, 100))
        where t.token ~ '^[{]secret:[^{}]*[}]$'
          and not p_secrets
        union all
        select 'unknown_input', format(
            '%s is no key of the inputs of this step: add it to them', left(t.token, 100))
        where t.token ~ '^[{][A-Za-z_][A-Za-z0-9_-]*[}]$'
          and not p_inputs ? btrim(t.token, '{}')
    ) c(code, message)
    order by t.n
$$;
comment on function tasker.check_placeholders(text, text, boolean, jsonb) is
    'Problems with the places for values in a text of the http handler, each once. '
    'p_secrets: whether secrets may be there; p_inputs: the object that has the values, or null '
    'where nobody knows its keys.';
