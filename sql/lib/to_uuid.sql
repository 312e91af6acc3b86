create function tasker.to_uuid(p_text text)
returns uuid
language sql immutable parallel safe as $$
    select case
        when p_text ~ '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$' then p_text::uuid
    end
$$;
comment on function tasker.to_uuid(text) is
    'The text as a uuid, or null if it is not one: messages from outside must not throw.';
