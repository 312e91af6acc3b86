create function tasker.check_contexts(p_contexts jsonb[], p_max_bytes int)
returns void
language plpgsql stable as $$
declare
    v_bad      bigint;
    v_context  jsonb;
    v_largest  bigint;
    v_all      bigint;
    v_most     bigint := p_max_bytes * 64::bigint;
begin
    select c.n, c.context
    into v_bad, v_context
    from unnest(p_contexts) with ordinality c(context, n)
    where coalesce(jsonb_typeof(c.context), 'null') <> 'object'
    order by c.n
    limit 1;
    if v_bad is not null then
        raise exception
            'the context of a task must be a JSON object; number % is %',
            v_bad,
            tasker.excerpt(v_context)
            using errcode = 'TK005',
                  hint = 'No task was enqueued. Pass objects such as ''{"order_id": 7}''.';
    end if;

    select max(b.bytes), sum(b.bytes)
    into v_largest, v_all
    from (
        select tasker.context_bytes(c, p_max_bytes) as bytes
        from unnest(p_contexts) c
    ) b;
    if v_largest > p_max_bytes then
        perform tasker.refuse_too_much(
            'a context', v_largest, p_max_bytes, 'bytes', 'max_context_bytes');
    elsif v_all > v_most then
        perform tasker.refuse_too_much(
            'the contexts of a call', v_all, v_most, 'bytes', '64 times max_context_bytes');
    end if;
end
$$;
comment on function tasker.check_contexts(jsonb[], int) is
    'Refuses contexts if one is not an object or is too large, or if they are too large together. '
    'Errors: TK005, TK019.';
