create function tasker.check_type(
    p_value  jsonb,
    p_path   text,
    p_what   text,
    p_types  text[]
)
returns table (path text, code text, message text)
-- Like all checks of one value here, it has no settings of its own, so that it becomes part of the
-- statement that calls it.
language sql stable as $$
    select
        p_path,
        'invalid_type',
        format(
            '%s must be %s; it is %s',
            p_what,
            (
                select string_agg(
                    case when t in ('object', 'array') then 'an ' else 'a ' end || t,
                    ' or ')
                from unnest(p_types) t
            ),
            tasker.excerpt(p_value))
    where p_value is not null
      and jsonb_typeof(p_value) <> all (p_types)
$$;
comment on function tasker.check_type(jsonb, text, text, text[]) is
    'A problem if the value has another JSON type. An absent value is no problem here.';
