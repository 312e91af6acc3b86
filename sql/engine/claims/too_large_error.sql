create function tasker.too_large_error(p_bytes bigint, p_most bigint, p_attempt int)
returns jsonb
language sql immutable as $$
    select jsonb_build_object(
        'message', format(
            'its context, inputs, and checkpoint have %s bytes; '
            'a claim has at most %s (max_claim_bytes in tasker.settings)',
            p_bytes,
            p_most),
        'code', 'input_too_large',
        'retryable', false,
        'attempt', p_attempt)
$$;
comment on function tasker.too_large_error(bigint, bigint, int) is
    'The failure of a step that does not fit into a claim.';
