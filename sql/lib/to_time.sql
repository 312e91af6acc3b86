create function tasker.to_time(p_text text)
returns timestamptz
language plpgsql stable as $$
begin
    return p_text::timestamptz;
exception
    when data_exception then
        return null;
end
$$;
comment on function tasker.to_time(text) is
    'The text as a time, or null if it is not one.';
