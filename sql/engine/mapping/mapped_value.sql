create function tasker.mapped_value(
    p_task_id  uuid,
    p_mapping  jsonb,
    p_limit    bigint,
    out value  jsonb,
    out error  jsonb
)
language plpgsql stable as $$
declare
    v_path     jsonb;
    v_context  jsonb;
    v_task     jsonb;
    v_results  jsonb;
    v_value    jsonb;
    v_at       text[];
    v_bytes    bigint := 0;
begin
    if p_mapping ? 'names' then
        error := tasker.mapping_too_much(p_task_id, (p_mapping ->> 'names')::text[]);
        if error is not null then
            return;
        end if;
        v_results := tasker.step_results(
            p_task_id,
            (p_mapping ->> 'names')::text[],
            (p_mapping ->> 'batches')::text[]);
    end if;
    if p_mapping ?| '{context,task}' then
        -- Added to nothing, a large context is read from its table once, and not for each path.
        select t.context || '{}', case when p_mapping ? 'task' then tasker.task_document(t) end
        into v_context, v_task
        from tasker.tasks t
        where t.task_id = p_task_id;
    end if;

    -- Nothing that a path meets stops what else is in the batch.
    begin
        value := p_mapping -> 'value';
        for v_path in select p.value from jsonb_array_elements(p_mapping -> 'paths') p loop
            v_value := tasker.path_value(
                case v_path ->> 'part'
                    when 'context' then v_context
                    when 'task' then v_task
                    else v_results
                end,
                v_path);
            if v_value is null and v_path ? 'required' then
                value := null;
                error := tasker.mapping_error('missing_input', format(
                    'the input "%s" is required, and there is nothing at %s',
                    left(((v_path ->> 'at')::text[])[1], 100),
                    v_path ->> 'path'));
                return;
            end if;
            -- A value takes at most eight times as many bytes stored as it does as text.
            v_bytes := v_bytes + coalesce(pg_column_size(v_value), 0);
            exit when v_bytes / 8 > p_limit;
            v_at := v_path ->> 'at';
            v_value := coalesce(v_value, 'null');
            -- The value itself has no place.
            value := case when v_at = '{}' then v_value else jsonb_set(value, v_at, v_value) end;
        end loop;
        v_bytes := greatest(v_bytes / 8, tasker.json_bytes(value, p_limit));
    exception when others then
        if tasker.is_passing_error(sqlstate) and not tasker.may_divide(sqlstate, sqlerrm) then
            raise;
        end if;
        value := null;
        error := tasker.mapping_error(
            'invalid_input',
            concat_ws(': ', format('there is no value at %s', v_path ->> 'path'), sqlerrm));
        return;
    end;

    if v_bytes > p_limit then
        value := null;
        error := tasker.mapping_error('input_too_large', format(
            'the values have more than %s bytes as text (max_result_bytes in tasker.settings): '
            'take parts of results, not whole ones',
            p_limit));
    end if;
end
$$;
comment on function tasker.mapped_value(uuid, jsonb, bigint) is
    'What a mapping, as compile_mapping has written it, makes of a task as it is now, or why it '
    'cannot: missing_input, invalid_input, or input_too_large.';
