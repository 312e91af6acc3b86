create function tasker.check_failed_events(p_failed jsonb) returns void
language plpgsql immutable as $$
begin
    if jsonb_typeof(p_failed) <> 'array' or exists (
        select
        from jsonb_array_elements(
            case jsonb_typeof(p_failed) when 'array' then p_failed else '[]' end
        ) e(e)
        where jsonb_typeof(e.e -> 'msg_id') is distinct from 'number'
           or tasker.to_items(e.e -> 'msg_id') is null
           or jsonb_typeof(e.e -> 'delay_ms') not in ('number', 'null')
           or coalesce(jsonb_typeof(e.e -> 'dead'), 'null') not in ('null', 'boolean')
    ) then
        raise exception
            'p_failed must be a list of {"msg_id","delay_ms","error","dead"}; it is %',
            left(p_failed::text, 200)
            using errcode = 'TK051',
                hint = 'msg_id: as read_events gave it; delay_ms: milliseconds until it is read '
                    'again (default 0); error: the reason; dead: true if it must not be tried '
                    'again (default false).';
    end if;
end
$$;
comment on function tasker.check_failed_events(jsonb) is
    'Refuses a malformed p_failed of finish_events. Error: TK051.';
