create function tasker.check_hidden(
    p_value  jsonb,
    p_path   text,
    p_what   text,
    p_line   boolean
)
returns table (path text, code text, message text)
language sql stable as $$
    select
        p_path,
        'hidden_characters',
        format(
            '%s has control characters, or characters that change the direction of text%s',
            p_what, case when p_line then ', or show nothing' else '' end)
    where jsonb_typeof(p_value) = 'string'
      and tasker.has_hidden(
          case
              when p_line then p_value #>> '{}'
              else translate(p_value #>> '{}', E'\n\r\t', '')
          end,
          p_line)
$$;
comment on function tasker.check_hidden(jsonb, text, text, boolean) is
    'A problem if a text would not be shown as it is. p_line: it must be one line of visible '
    'characters; else it may have lines and joiners.';
