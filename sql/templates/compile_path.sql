create function tasker.compile_path(p_path text) returns jsonb
language sql immutable as $$
    select jsonb_strip_nulls(jsonb_build_object(
        'path', p_path,
        'part', r.keys[1],
        'name', r.keys[2],
        'keys', case when k.plain then r.keys[2:]::text end,
        'fixed', case when r.fixed and not k.plain then 'strict ' || k.rest end,
        'many', case when r.many > 0 then k.rest end,
        'one', case when not r.fixed and r.many = 0 then k.rest end))
    from tasker.read_path(p_path) r
    cross join lateral (
        select
            -- Within the part.
            '$' || substr(r.normal, length('$.' || to_json(r.keys[1])) + 1) as rest,
            -- Among keys alone, #> takes none for the place of an element.
            r.fixed
                and p_path not like '%[%'
                and not exists (select from unnest(r.keys) key where key ~ '^\s*[-+]?[0-9]')
                as plain
    ) k
$$;
comment on function tasker.compile_path(text) is
    'A valid path: {"path","part","name": its second key} and one of "keys" (a PostgreSQL array of '
    'text for #>), "fixed", "many", "one" (a jsonpath that begins within the part).';
