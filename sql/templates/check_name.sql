create function tasker.check_name(
    p_value    jsonb,
    p_path     text,
    p_what     text,
    p_longest  int
)
returns table (path text, code text, message text)
language sql stable as $$
    select
        p_path,
        'invalid_name',
        format(
            '%s must be a name of lower-case letters, digits, and _ that begins with a letter, '
            'at most %s characters; it is %s',
            p_what, p_longest, tasker.excerpt(p_value))
    where p_value is not null
      and not (
          jsonb_typeof(p_value) = 'string'
          and p_value #>> '{}' ~ '^[a-z][a-z0-9_]*$'
          and length(p_value #>> '{}') <= p_longest
      )
$$;
comment on function tasker.check_name(jsonb, text, text, int) is
    'A problem if the value is not a name. An absent value is no problem here.';
