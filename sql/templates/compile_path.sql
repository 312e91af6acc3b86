create function tasker.compile_path(p_path text) returns jsonb
language sql immutable as $$
    select jsonb_strip_nulls(jsonb_build_object(
        'path', p_path,
        'part', r.keys[1],
        'name', r.keys[2],
        -- Both begin within the part.
        'keys', case when r.fixed then r.keys[2:]::text end,
        'normal', case
            when not r.fixed then '$' || substr(r.normal, length('$.' || to_json(r.keys[1])) + 1)
        end,
        'many', case when r.many then true end))
    from tasker.read_path(p_path) r
$$;
comment on function tasker.compile_path(text) is
    'A valid path: {"path","part","name": its second key, "keys" or "normal","many"}. '
    'keys: a PostgreSQL array of text; normal: a jsonpath.';
