create function tasker.check_request(
    p_context          jsonb,
    p_run_at           timestamptz,
    p_idempotency_key  text,
    p_limits           tasker.settings
)
returns void
language plpgsql stable as $$
declare
    v_key_bytes  int := octet_length(p_idempotency_key);
    v_bytes      bigint;
begin
    if coalesce(jsonb_typeof(p_context), 'null') <> 'object' then
        raise exception
            'the context of a task must be a JSON object; it is %',
            tasker.excerpt(p_context)
            using errcode = 'TK005',
                  hint = 'Pass an object such as ''{"order_id": 7}''.';
    elsif p_run_at not between '0001-01-02 00:00+00' and '9999-12-31 00:00+00' then
        -- JSON has no other years, nor infinity: the lists that show such a task could not be read.
        raise exception 'run_at must be a time in the years 1 to 9999; it is %', p_run_at
            using errcode = 'TK008',
                  hint = 'Leave it out, and the task runs at once.';
    elsif v_key_bytes > p_limits.max_idempotency_key_bytes then
        perform tasker.refuse_too_much(
            'an idempotency key',
            v_key_bytes,
            p_limits.max_idempotency_key_bytes,
            'bytes',
            'max_idempotency_key_bytes');
    end if;

    v_bytes := tasker.context_bytes(p_context, p_limits.max_context_bytes);
    if v_bytes > p_limits.max_context_bytes then
        perform tasker.refuse_too_much(
            'a context', v_bytes, p_limits.max_context_bytes, 'bytes', 'max_context_bytes');
    end if;
end
$$;
comment on function tasker.check_request(jsonb, timestamptz, text, tasker.settings) is
    'Refuses arguments of enqueue_task that cannot become a task. '
    'Errors: TK005, TK008, TK019.';
