create function tasker.cursors_too_large(p_cursors jsonb)
returns text
language plpgsql stable as $$
declare
    v_max   bigint := (select c.max_cursors_bytes from tasker.settings c);
    v_size  bigint;
begin
    -- Its text is written only where it may be too long: stored, a number or a character takes a part of that at least.
    if pg_column_size(p_cursors) <= v_max / 25 then
        return null;
    end if;
    begin
        v_size := octet_length(p_cursors::text);
    exception when program_limit_exceeded or out_of_memory then
        return format('its cursors have over 1 GB as text; the limit is %s bytes (max_cursors_bytes in tasker.settings)', v_max);
    end;
    return case when v_size > v_max then
        format('its %s cursors have %s bytes together; the limit is %s (max_cursors_bytes in tasker.settings): let a cursor say where its items are, not what they are',
               jsonb_array_length(p_cursors), v_size, v_max) end;
end
$$;
comment on function tasker.cursors_too_large(jsonb) is 'What is wrong with cursors that are over the limit together, or null.';
