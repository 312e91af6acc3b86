create function tasker.mapped_value(
    p_task_id  uuid,
    p_mapping  jsonb,
    p_limit    bigint,
    out value  jsonb,
    out bytes  bigint,
    out error  jsonb
)
language plpgsql stable as $$
declare
    v_context    jsonb;
    v_task       jsonb;
    v_constants  jsonb;
    v_results    jsonb := '{}';
    v_errors     jsonb;
    v_path       jsonb;
    v_n          int := 0;
    v_value      jsonb;
    v_texts      text[];
begin
    if p_mapping ? 'plain' then
        v_texts[1] := tasker.plain_mapping(p_task_id, p_mapping);
        bytes := octet_length(v_texts[1]);
        if bytes <= p_limit then
            value := v_texts[1]::jsonb;
            return;
        end if;
    end if;

    v_texts[1] := p_mapping #>> '{pieces,0}';
    bytes := octet_length(v_texts[1]);
    -- Nothing that a path meets stops what else is in the batch.
    begin
        if p_mapping ? 'names' then
            error := tasker.mapping_too_much(p_task_id, p_mapping);
            if error is not null then
                return;
            end if;
            v_results := tasker.step_results(
                p_task_id,
                (p_mapping ->> 'names')::text[],
                (p_mapping ->> 'batches')::text[]);
        end if;
        if p_mapping ? 'errors' then
            v_errors := tasker.step_errors(p_task_id, (p_mapping ->> 'errors')::text[]);
        end if;
        if p_mapping ?| '{context,task,constants}' then
            select p.context, p.task, p.constants
            into v_context, v_task, v_constants
            from tasker.task_parts(p_task_id, p_mapping) p;
        end if;

        -- The text is put together once: adding value by value would write it for each.
        for v_path in select p.value from jsonb_array_elements(p_mapping -> 'paths') p loop
            v_n := v_n + 1;
            v_value := tasker.path_value(
                case v_path ->> 'part'
                    when 'context' then v_context
                    when 'task' then v_task
                    when 'constants' then v_constants
                    when 'errors' then v_errors
                    else v_results
                end,
                v_path);
            if v_value is null and v_path ? 'required' then
                error := tasker.mapping_error('missing_input', format(
                    'the input "%s" is required, and there is nothing at %s',
                    left(v_path ->> 'required', 100),
                    v_path ->> 'path'));
                return;
            end if;
            -- One at a time, PostgreSQL adds them in place.
            v_texts := v_texts || coalesce(v_value::text, 'null');
            v_texts := v_texts || (p_mapping -> 'pieces' ->> v_n);
            bytes := bytes
                + octet_length(v_texts[2 * v_n])
                + octet_length(v_texts[2 * v_n + 1]);
            exit when bytes > p_limit;
        end loop;
        if bytes <= p_limit then
            value := array_to_string(v_texts, '')::jsonb;
            return;
        end if;
    exception when others then
        if tasker.is_passing_error(sqlstate) and not tasker.may_divide(sqlstate, sqlerrm) then
            raise;
        end if;
        error := tasker.mapping_error(
            'invalid_input',
            concat_ws(': ', 'there is no value at ' || (v_path ->> 'path'), sqlerrm));
        return;
    end;

    error := tasker.mapping_error('input_too_large', format(
        'the values have more than %s bytes as text (max_result_bytes in tasker.settings): '
        'take parts of results, not whole ones',
        p_limit));
end
$$;
comment on function tasker.mapped_value(uuid, jsonb, bigint) is
    'What a mapping, as compile_mapping has written it, makes of a task as it is now, and its '
    'bytes as text; or why it cannot: missing_input, invalid_input, or input_too_large.';
