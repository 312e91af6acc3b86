create function tasker.compile_condition(
    p_condition     text,
    p_dependencies  jsonb,
    p_batches       text[],
    p_constants     jsonb
)
returns jsonb
language plpgsql immutable as $$
declare
    v_read   record := tasker.read_condition(p_condition);
    v_small  boolean := v_read.filters or v_read.regex;
    v_parts  jsonb;
    v_names  text[];
    v_paths  jsonb[];
begin
    v_paths := array(select tasker.compile_path(p) from unnest(v_read.paths) p);
    v_parts := (select jsonb_object_agg(p ->> 'part', true) from unnest(v_paths) p);
    v_names := tasker.named_steps(v_paths, 'parents', p_dependencies);
    return jsonb_strip_nulls(jsonb_build_object(
        'condition', p_condition,
        'test', v_read.test,
        'paths', to_jsonb(v_read.paths),
        'context', v_parts -> 'context',
        'task', v_parts -> 'task',
        'constants', v_parts -> 'constants',
        'names', v_names::text,
        'errors', tasker.named_steps(v_paths, 'errors', p_dependencies)::text,
        'batches', nullif(
            array(select n from unnest(v_names) n where n = any (p_batches)), '{}')::text,
        -- Each figure keeps the worst that fits under 100 ms: docs/decisions.md.
        'bytes', least(
            case
                when v_read.selfjoins > 0 or v_read.joins > 0 and v_small then 4096
                when v_small then 65536
                else 1048576
            end,
            case when v_read.regex then 262144 when v_small then 1048576 else 4194304 end
                / greatest(v_read.weight, 1)),
        'constants_bytes', case
            when v_parts ? 'constants' then octet_length(p_constants::text)
        end,
        'joins', nullif(v_read.joins, 0),
        'digits', nullif(v_read.digits, false)));
end
$$;
comment on function tasker.compile_condition(text, jsonb, text[], jsonb) is
    'How condition_value judges a valid condition: {"condition": as written, "test": as '
    'PostgreSQL writes it, "paths", "bytes": what the parts that it names may have, as text, '
    '"joins": how often it compares two paths, "digits": it multiplies or divides, '
    '"constants_bytes"} and the keys "context", '
    '"task", "constants", "names", "batches" of compile_mapping.';
