create function tasker.refuse_too_much(
    p_what     text,
    p_has      bigint,
    p_limit    bigint,
    p_unit     text,
    p_setting  text
)
returns void
language plpgsql immutable as $$
begin
    raise exception
        '% may have % %; this one has %',
        p_what,
        p_limit,
        p_unit,
        case when p_has > p_limit then p_has::text else 'more' end
        using errcode = 'TK019',
              hint = format(
                  'The limit is %s in tasker.settings. Large data belongs in a table or a store of '
                  'its own; pass its key.',
                  p_setting
              );
end
$$;
comment on function tasker.refuse_too_much(text, bigint, bigint, text, text) is
    'Raises TK019: over a limit.';
