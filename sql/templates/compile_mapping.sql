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
        select s.at, s.string, case when s.is_path then tasker.compile_path(s.string) end as path
        from tasker.mapped_strings(p_value) s
        order by s.at
    loop
        if v_found.path is null then
            v_given := to_jsonb(substr(v_found.string, 2));
        elsif v_found.path ->> 'part' = 'constants' then
            -- A version never changes, and its constants do not either.
            v_given := coalesce(tasker.path_value(p_constants, v_found.path), 'null');
        else
            v_given := 'null';
            v_paths := v_paths || (v_found.path || jsonb_strip_nulls(jsonb_build_object(
                'at', v_found.at::text,
                'required', case
                    when cardinality(v_found.at) = 1 and p_required ? v_found.at[1] then true
                end)));
            v_parts := v_parts || (v_found.path ->> 'part');
            if v_found.path ->> 'part' = p_under then
                v_names := v_names || (v_found.path ->> 'name');
            end if;
        end if;
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
        'names', v_names::text,
        'batches', nullif(
            array(select n from unnest(v_names) n where n = any (p_batches)), '{}')::text
    )) || jsonb_build_object('value', v_value);
end
$$;
comment on function tasker.compile_mapping(jsonb, text, jsonb, text[], jsonb, jsonb) is
    'How mapped_value makes a valid value with paths: '
    '{"value": with null for each path, "bytes": of that as text, '
    '"paths": those of compile_path with "at" and "required", '
    '"context","task": whether one names it, '
    '"names": steps whose results paths name, "batches": those of them that are batches}. '
    'Lists of text are PostgreSQL arrays. Constants and strings are in value already. '
    'p_under: parents or steps, as the paths call results. '
    'p_all: the steps that a path without a name means. p_required: keys that must be there.';
