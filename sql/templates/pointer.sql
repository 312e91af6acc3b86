create function tasker.pointer(p_path text, p_key text)
returns text
language sql immutable parallel safe as $$
    select p_path || '/' || replace(replace(p_key, '~', '~0'), '/', '~1')
$$;
comment on function tasker.pointer(text, text) is
    'Adds one segment to a JSON Pointer (RFC 6901).';
