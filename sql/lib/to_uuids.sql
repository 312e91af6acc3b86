create function tasker.to_uuids(p_texts text[])
returns uuid[]
language plpgsql immutable as $$
begin
    -- One cast converts all [0.3 us each; a regular expression takes 6]. Each is looked at only
    -- when that fails.
    return p_texts::uuid[];
exception
    when invalid_text_representation then
        return array(
            select tasker.to_uuid(t.text)
            from unnest(p_texts) with ordinality t(text, n)
            order by t.n
        );
end
$$;
comment on function tasker.to_uuids(text[]) is
    'Each text as a uuid, or null if it is not one: messages from outside must not throw.';
