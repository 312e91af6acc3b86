create function tasker.check_keys(
    p_object    jsonb,
    p_path      text,
    p_known     text[],
    p_required  text[]
)
returns table (path text, code text, message text)
language sql stable as $$
    select
        tasker.pointer(p_path, left(k, 100)),
        'unknown_key',
        format(
            'unknown key "%s"; the keys here are: %s',
            left(k, 100), array_to_string(p_known, ', '))
    from jsonb_object_keys(
        case when jsonb_typeof(p_object) = 'object' then p_object else '{}' end
    ) k
    where k <> all (p_known)
    union all
    select p_path, 'missing_key', format('"%s" is missing', r)
    from unnest(p_required) r
    where jsonb_typeof(p_object) = 'object'
      and not p_object ? r
$$;
comment on function tasker.check_keys(jsonb, text, text[], text[]) is
    'Problems with the keys of one object of a template. A value that is not an object is no '
    'problem here.';
