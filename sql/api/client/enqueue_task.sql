-- for: client, operator
create function tasker.enqueue_task(
    p_namespace        text,
    p_name             text,
    p_context          jsonb default '{}',
    p_version          text default null,
    p_priority         int default 0,
    p_run_at           timestamptz default null,
    p_idempotency_key  text default null,
    p_correlation_id   uuid default null,
    p_traceparent      text default null,
    p_notify           boolean default null
)
returns uuid
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_template_id  uuid := tasker.find_template(p_namespace, p_name, p_version);
    v_task_id      uuid := tasker.new_id();
    v_correlation  uuid := coalesce(p_correlation_id, v_task_id);
    v_now          timestamptz := tasker.clock();
    v_trace        text := tasker.traceparent(p_traceparent);
    v_limits       tasker.settings := (select s from tasker.settings s);
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
    elsif octet_length(p_idempotency_key) > v_limits.max_idempotency_key_bytes then
        perform tasker.refuse_too_much(
            'an idempotency key',
            octet_length(p_idempotency_key),
            v_limits.max_idempotency_key_bytes,
            'bytes',
            'max_idempotency_key_bytes'
        );
    elsif pg_column_size(p_context) > 80
      and tasker.json_bytes(p_context, v_limits.max_context_bytes) > v_limits.max_context_bytes then
        perform tasker.refuse_too_much(
            'a context',
            tasker.json_bytes(p_context, v_limits.max_context_bytes),
            v_limits.max_context_bytes,
            'bytes',
            'max_context_bytes'
        );
    end if;

    insert into tasker.tasks (
        task_id,
        template_id,
        namespace,
        name,
        priority,
        run_at,
        correlation_id,
        traceparent,
        idempotency_key,
        context,
        context_bytes,
        created_at,
        updated_at
    )
    values (
        v_task_id,
        v_template_id,
        p_namespace,
        p_name,
        coalesce(p_priority, 0),
        p_run_at,
        v_correlation,
        v_trace,
        p_idempotency_key,
        p_context,
        octet_length(p_context::text),
        v_now,
        v_now
    )
    on conflict (namespace, name, idempotency_key) where idempotency_key is not null do nothing;
    if not found then
        return tasker.find_same_task(
            p_namespace,
            p_name,
            p_version,
            p_idempotency_key,
            p_context
        );
    end if;

    perform pgmq.send(
        'orchestration_task_requests',
        jsonb_build_object('task_id', v_task_id),
        jsonb_strip_nulls(jsonb_build_object(
            'correlation_id', v_correlation,
            'traceparent', v_trace
        ))
    );
    if coalesce(p_notify, v_limits.notify_on_enqueue) then
        perform tasker.notify_queue('orchestration_task_requests');
    end if;
    return v_task_id;
end
$$;
comment on function tasker.enqueue_task(
    text, text, jsonb, text, int, timestamptz, text, uuid, text, boolean
) is
    'Starts a task in the caller''s transaction and returns its id: rolled back, nothing happened. '
    'A null version means the current one (applied or used last). '
    'The same idempotency key with the same content returns the existing task. '
    'p_traceparent, of the caller''s trace, is dropped where it is not one of W3C. '
    'p_notify false leaves the wake-up to the poll. '
    'p_priority counts only where steps wait for their turn: '
    'in a namespace with a limit, and among those that the sweep sends. '
    'Errors: TK001 namespace, TK002 template, TK003 version, TK005 context, '
    'TK006 idempotency key, TK008 run_at, TK019 a context or key over its limit.';
