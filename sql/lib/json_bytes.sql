create function tasker.json_bytes(p_value jsonb, p_limit bigint) returns bigint
language plpgsql immutable as $$
declare
    v_stored  bigint := pg_column_size(p_value);
    v_bytes   bigint := 0;
    v_number  jsonb;
begin
    -- The text is written only where it may be too long. No text is much shorter than the stored
    -- value, but 1e131071 takes 12 bytes stored and 131,072 as text: numbers of many digits are
    -- counted one by one, up to the limit. A thousand bytes have at most 11 MB of text.
    if v_stored <= p_limit / 12000 then
        return v_stored;
    elsif v_stored <= 1000 then
        return octet_length(p_value::text);
    elsif v_stored / 8 > p_limit then
        return v_stored;
    elsif p_value @? 'strict $.** ? (@.type() == "number" '
                     '&& (@ > 1e40 || @ < -1e40 || @ > -1e-40 && @ < 1e-40 && @ != 0))'
    then
        for v_number in
            select jsonb_path_query(
                p_value,
                'strict $.** ? (@.type() == "number" '
                '&& (@ > 1e40 || @ < -1e40 || @ > -1e-40 && @ < 1e-40 && @ != 0))'
            )
        loop
            v_bytes := v_bytes + octet_length(v_number::text);
            if v_bytes > p_limit then
                return v_bytes;
            end if;
        end loop;
    end if;
    return octet_length(p_value::text);
end
$$;
comment on function tasker.json_bytes(jsonb, bigint) is
    'The bytes of a value as text, without writing the text: exact near p_limit, an underestimate '
    'far below it, and some number above p_limit beyond it.';
