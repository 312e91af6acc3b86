create function tasker.output_values(
    p_task_id   uuid,
    p_output    jsonb,
    out result  jsonb,
    out errors  jsonb
)
language plpgsql stable as $$
declare
    v_left  bigint := (select c.max_result_bytes from tasker.settings c);
    v_one   record;
    v_made  record;
    v_keys  text[] := '{}';
    v_all   jsonb[] := '{}';
begin
    v_left := v_left - octet_length((p_output -> 'plain')::text);
    for v_one in select o.key, o.value from jsonb_each(p_output -> 'made') o order by o.key loop
        v_made := tasker.mapped_value(p_task_id, v_one.value, v_left);
        v_keys := v_keys || v_one.key;
        v_all := v_all || coalesce(v_made.value, 'null');
        if v_made.error is not null then
            errors := coalesce(errors, '{}')
                || jsonb_build_object(v_one.key, v_made.error ->> 'message');
        else
            v_left := v_left - v_made.bytes;
        end if;
    end loop;
    result := (p_output -> 'plain') || coalesce(
        (select jsonb_object_agg(m.key, m.value) from unnest(v_keys, v_all) m(key, value)), '{}');
end
$$;
comment on function tasker.output_values(uuid, jsonb) is
    'What a task gives as its result, by its template''s output as compile_output has written it. '
    'errors: why a key is null, for those whose value cannot be made.';
