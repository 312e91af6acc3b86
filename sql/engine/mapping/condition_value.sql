create function tasker.condition_value(p_task_id uuid, p_condition jsonb)
returns tasker.made_value
language plpgsql stable as $$
declare
    v_names   text[] := (p_condition ->> 'names')::text[];
    v_bytes   bigint;
    v_object  jsonb;
    v_made    tasker.made_value;
begin
    -- Nothing that a condition meets stops what else is in the batch.
    begin
        v_bytes := tasker.condition_bytes(p_task_id, p_condition);
        if v_bytes > (p_condition ->> 'bytes')::bigint then
            v_made.error := tasker.mapping_error('condition_too_large', format(
                'the context and the results that its condition %s names have %s bytes; such a '
                'condition may look into %s: let a step before it return what counts',
                left(p_condition ->> 'condition', 300),
                v_bytes,
                p_condition ->> 'bytes'));
            return v_made;
        end if;

        select jsonb_build_object(
            'context', p.context, 'task', p.task, 'constants', p.constants)
        into v_object
        from tasker.task_parts(p_task_id, p_condition) p;
        if v_names is not null then
            v_object := v_object || jsonb_build_object('parents', tasker.step_results(
                p_task_id, v_names, (p_condition ->> 'batches')::text[]));
        end if;
        v_made.error := tasker.condition_too_much(v_object, p_condition, v_bytes);
        if v_made.error is null then
            v_made.value := nullif(
                jsonb_path_query_first(
                    v_object, (p_condition ->> 'test')::jsonpath, '{}', true),
                'null');
        end if;
        if v_made.value is null and v_made.error is null then
            v_made.error := tasker.mapping_error('invalid_condition', format(
                'its condition %s is neither true nor false: %s',
                left(p_condition ->> 'condition', 300),
                tasker.condition_sight(v_object, p_condition, false)));
        elsif v_made.value = 'false' then
            v_made.error := to_jsonb(tasker.condition_sight(v_object, p_condition, true));
        end if;
    exception when others then
        if tasker.is_passing_error(sqlstate) and not tasker.may_divide(sqlstate, sqlerrm) then
            raise;
        end if;
        v_made.value := null;
        v_made.error := tasker.mapping_error('invalid_condition', format(
            'its condition %s cannot be judged: %s',
            left(p_condition ->> 'condition', 300),
            sqlerrm));
    end;
    return v_made;
end
$$;
comment on function tasker.condition_value(uuid, jsonb) is
    'Whether a condition, as compile_condition has written it, holds in a task as it is now. '
    'value: true or false; null: it is neither. error: of a false one, as a string, what it '
    'looked at; of one that is neither, why not: invalid_condition, condition_too_large.';
