create function tasker.too_large_error(p_bytes bigint, p_most bigint) returns jsonb
language sql immutable as $$
    select jsonb_build_object(
        'message', format(
            'its context, inputs, and checkpoint have %s bytes; '
            'a claim has at most %s (max_claim_bytes in tasker.settings)',
            p_bytes,
            p_most),
        'code', 'input_too_large',
        'retryable', false)
$$;
comment on function tasker.too_large_error(bigint, bigint) is
    'The failure of a step that does not fit into a claim; the attempt is for the caller to add.';
