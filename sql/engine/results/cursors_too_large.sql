create function tasker.cursors_too_large(p_cursors jsonb)
returns text
language plpgsql stable as $$
declare
    v_max   bigint := (select c.max_cursors_bytes from tasker.settings c);
    v_size  bigint;
begin
    v_size := tasker.json_bytes(p_cursors, v_max);
    return case
        when v_size > v_max then format(
            'its %s cursors have %s bytes together; '
            'the limit is %s (max_cursors_bytes in tasker.settings): '
            'let a cursor say where its items are, not what they are',
            jsonb_array_length(p_cursors), v_size, v_max)
    end;
end
$$;
comment on function tasker.cursors_too_large(jsonb) is
    'The problem of cursors that are over the limit together, or null.';
