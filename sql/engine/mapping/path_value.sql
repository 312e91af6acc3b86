create function tasker.path_value(p_part jsonb, p_path jsonb) returns jsonb
language plpgsql immutable as $$
declare
    v_value  jsonb;
    v_count  bigint;
begin
    if p_path ? 'keys' then
        return p_part #> (p_path ->> 'keys')::text[];
    elsif p_path ? 'fixed' then
        return jsonb_path_query_first(p_part, (p_path ->> 'fixed')::jsonpath, '{}', true);
    elsif p_path ? 'many' then
        return jsonb_path_query_array(p_part, (p_path ->> 'many')::jsonpath);
    end if;

    select count(*), (array_agg(q.value))[1]
    into v_count, v_value
    from jsonb_path_query(p_part, (p_path ->> 'one')::jsonpath) q(value);
    if v_count > 1 then
        raise exception 'it gives % values, and not one', v_count
            using errcode = 'data_exception';
    end if;
    return v_value;
end
$$;
comment on function tasker.path_value(jsonb, jsonb) is
    'The value of a path, as compile_path has written it, in the part that it begins with; null: '
    'there is no value. Raises what is wrong with what the path meets.';
