create function tasker.output_values(
    p_task_id   uuid,
    p_output    jsonb,
    out result  jsonb,
    out errors  jsonb
)
language plpgsql stable as $$
declare
    v_limit  bigint := (select c.max_result_bytes from tasker.settings c);
    v_left   bigint := v_limit;
    v_one    record;
    v_made   record;
begin
    result := '{}';
    for v_one in select o.key, o.value from jsonb_each(p_output) o order by o.key loop
        v_made := tasker.mapped_value(p_task_id, v_one.value, v_left);
        result := result || jsonb_build_object(v_one.key, v_made.value);
        if v_made.error is not null then
            errors := coalesce(errors, '{}')
                || jsonb_build_object(v_one.key, v_made.error ->> 'message');
        else
            v_left := v_left - octet_length(v_made.value::text);
        end if;
    end loop;
end
$$;
comment on function tasker.output_values(uuid, jsonb) is
    'What a task gives as its result, by its template''s output as compile_output has written it. '
    'errors: why a key is null, for those whose value cannot be made.';
