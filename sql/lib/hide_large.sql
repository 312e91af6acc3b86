create function tasker.hide_large(p_document jsonb, p_max bigint) returns jsonb
language sql immutable as $$
    select case
        when octet_length(p_document::text) <= p_max then p_document
        else jsonb_build_object(
            '$hidden',
            format(
                '%s bytes, which is more than one answer may have',
                octet_length(p_document::text)
            )
        )
    end
$$;
comment on function tasker.hide_large(jsonb, bigint) is
    'The document or, if it has more than p_max bytes as text, an object whose key $hidden says '
    'why it is left out.';
