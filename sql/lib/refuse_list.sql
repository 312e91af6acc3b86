create function tasker.refuse_list(p_value jsonb, p_what text)
returns void
language plpgsql immutable as $$
begin
    raise exception '% must be a JSON array of objects; it is %', p_what, tasker.excerpt(p_value)
        using errcode = 'TK009',
              hint = 'docs/sql-api.md shows the form of each call.';
end
$$;
comment on function tasker.refuse_list(jsonb, text) is
    'Raises TK009 unless the value is a list.';
