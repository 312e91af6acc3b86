create function tasker.mapping_error(p_code text, p_message text) returns jsonb
language sql immutable parallel safe as $$
    select jsonb_build_object('code', p_code, 'message', p_message, 'retryable', false)
$$;
comment on function tasker.mapping_error(text, text) is
    'Why values cannot be made, in the form of a step''s failure; the attempt is for the caller '
    'to add.';
