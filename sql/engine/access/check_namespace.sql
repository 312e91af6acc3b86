create function tasker.check_namespace(p_namespace text) returns void
language plpgsql stable as $$
begin
    if not tasker.may_use(p_namespace) then
        raise exception 'this login or key may not use namespace "%"',
                coalesce(p_namespace, 'null')
            using errcode = 'TK053',
                  hint = coalesce(
                      'It may use: '
                          || nullif(array_to_string(array_remove(tasker.limits(), ''), ', '), '')
                          || '.',
                      'It may use none.'
                  );
    end if;
end
$$;
comment on function tasker.check_namespace(text) is
    'Refuses a namespace, whether it exists or not, to a caller that is limited to others. '
    'Error: TK053.';
