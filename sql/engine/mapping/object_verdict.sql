create function tasker.object_verdict(p_object jsonb, p_condition jsonb, p_bytes bigint)
returns tasker.made_value
language plpgsql immutable as $$
declare
    v_condition  text := left(p_condition ->> 'condition', 300);
    v_made       tasker.made_value;
begin
    if p_bytes > (p_condition ->> 'bytes')::bigint then
        v_made.error := tasker.mapping_error('condition_too_large', format(
            'the context and the results that its condition %s names have %s bytes; such a '
            'condition may look into %s: let a step before it return what counts',
            v_condition, p_bytes, p_condition ->> 'bytes'));
        return v_made;
    elsif p_condition ?| '{digits,joins}' then
        v_made.error := tasker.condition_too_much(p_object, p_condition);
        if v_made.error is not null then
            return v_made;
        end if;
    end if;

    v_made.value := nullif(
        jsonb_path_query_first(p_object, (p_condition ->> 'test')::jsonpath, '{}', true),
        'null');
    if v_made.value is null then
        v_made.error := tasker.mapping_error('invalid_condition', format(
            'its condition %s is neither true nor false: %s',
            v_condition,
            tasker.condition_sight(p_object, p_condition, false)));
    elsif v_made.value = 'false' then
        v_made.error := to_jsonb(tasker.condition_sight(p_object, p_condition, true));
    end if;
    return v_made;
end
$$;
comment on function tasker.object_verdict(jsonb, jsonb, bigint) is
    'Whether a condition holds of an object with the parts that it names, which have p_bytes as '
    'text. value: true or false; null: it is neither. error: of a false one, as a string, what it '
    'looked at; of one that is neither, why not: invalid_condition, condition_too_large.';
