create function tasker.compile_mapping(
    p_value      jsonb,
    p_under      text,
    p_all        jsonb,
    p_batches    text[],
    p_constants  jsonb,
    p_required   jsonb default null
)
returns jsonb
language plpgsql immutable as $$
declare
    v_value  jsonb := p_value;
    v_found  record;
    v_given  jsonb;
    v_paths  jsonb[] := '{}';
    v_parts  text[] := '{}';
    v_names  text[] := '{}';
begin
    for v_found in
        select s.at, s.string, s.is_path, r.*
        from tasker.mapped_strings(p_value) s
        left join lateral tasker.read_path(s.string) r on s.is_path
        order by s.at
    loop
        if not v_found.is_path then
            v_given := to_jsonb(substr(v_found.string, 2));
        elsif v_found.keys[1] = 'constants' then
            -- A version never changes, and its constants do not either.
            v_given := tasker.path_value(
                jsonb_build_object('constants', coalesce(p_constants, '{}')),
                case when v_found.fixed then v_found.keys end,
                v_found.normal,
                v_found.many);
        else
            v_given := null;
            v_paths := v_paths || jsonb_strip_nulls(jsonb_build_object(
                'at', v_found.at::text,
                'path', v_found.string,
                'keys', case when v_found.fixed then v_found.keys::text end,
                'normal', case when not v_found.fixed then v_found.normal end,
                'many', case when v_found.many then true end,
                'required', case
                    when cardinality(v_found.at) = 1 and p_required ? v_found.at[1] then true
                end));
            v_parts := v_parts || v_found.keys[1];
            if v_found.keys[1] = p_under then
                v_names := v_names || v_found.keys[2];
            end if;
        end if;
        v_given := coalesce(v_given, 'null');
        -- The value itself has no place.
        v_value := case
            when v_found.at = '{}' then v_given
            else jsonb_set(v_value, v_found.at, v_given)
        end;
    end loop;

    -- A path without a name takes the results of all.
    if array_position(v_names, null) is not null then
        v_names := array(select jsonb_array_elements_text(p_all));
    end if;
    v_names := nullif(array(select distinct n from unnest(v_names) n order by n), '{}');
    return jsonb_strip_nulls(jsonb_build_object(
        'bytes', octet_length(v_value::text),
        'paths', to_jsonb(v_paths),
        'context', case when 'context' = any (v_parts) then true end,
        'task', case when 'task' = any (v_parts) then true end,
        'under', case when v_names is not null then p_under end,
        'names', v_names::text,
        'batches', nullif(
            array(select n from unnest(v_names) n where n = any (p_batches)), '{}')::text
    )) || jsonb_build_object('value', v_value);
end
$$;
comment on function tasker.compile_mapping(jsonb, text, jsonb, text[], jsonb, jsonb) is
    'How mapped_value makes a valid value with paths: '
    '{"value": with null for each path, "bytes": of that as text, '
    '"paths": [{"at","path","keys" or "normal","many","required"}], '
    '"context","task": whether a path names it, '
    '"names": steps whose results paths name, "batches": those of them that are batches, '
    '"under": what the paths call them, parents or steps}. '
    'Lists of text are PostgreSQL arrays. Constants and strings are in value already. '
    'p_all: the steps that a path without a name means. p_required: keys that must be there.';
