create function tasker.path_value(
    p_scope   jsonb,
    p_keys    text[],
    p_normal  text,
    p_many    boolean
)
returns jsonb
language plpgsql immutable as $$
declare
    v_value  jsonb;
    v_count  bigint;
begin
    if p_keys is not null then
        return p_scope #> p_keys;
    elsif p_many then
        return jsonb_path_query_array(p_scope, p_normal::jsonpath);
    end if;

    select count(*), (array_agg(q.value))[1]
    into v_count, v_value
    from jsonb_path_query(p_scope, p_normal::jsonpath) q(value);
    if v_count > 1 then
        raise exception 'it gives % values, and not one', v_count
            using errcode = 'data_exception';
    end if;
    return v_value;
end
$$;
comment on function tasker.path_value(jsonb, text[], text, boolean) is
    'The value of a path in an object; null: nothing is there. p_keys: for a path of keys and '
    'indexes alone. Raises what is wrong with the value that a path meets.';
