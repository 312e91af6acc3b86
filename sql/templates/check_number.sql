create function tasker.check_number(
    p_value  jsonb,
    p_path   text,
    p_what   text,
    p_least  numeric,
    p_most   numeric,
    p_whole  boolean
)
returns table (path text, code text, message text)
language sql stable as $$
    select
        p_path,
        'invalid_number',
        format(
            '%s must be a %s from %s to %s; it is %s',
            p_what,
            case when p_whole then 'whole number' else 'number' end,
            p_least,
            p_most,
            tasker.excerpt(p_value))
    where p_value is not null
      and not coalesce(
          case
              when jsonb_typeof(p_value) = 'number' then
                  p_value::numeric between p_least and p_most
                  and (not p_whole or p_value::numeric = trunc(p_value::numeric))
          end,
          false)
$$;
comment on function tasker.check_number(jsonb, text, text, numeric, numeric, boolean) is
    'A problem if the value is not a number in the range. An absent value is no problem here.';
