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
    v_template     record := tasker.find_template(p_namespace, p_name, p_version);
    v_context      jsonb := tasker.with_defaults(p_context, v_template.defaults);
    v_task_id      uuid := tasker.new_id();
    v_correlation  uuid := coalesce(p_correlation_id, v_task_id);
    v_trace        text := tasker.traceparent(p_traceparent);
    v_limits       tasker.settings := (select s from tasker.settings s);
begin
    perform tasker.check_request(v_context, p_run_at, p_idempotency_key, v_limits);
    if not tasker.insert_tasks(
        array[v_task_id],
        array[v_context],
        v_template.template_id,
        p_namespace,
        p_name,
        coalesce(p_priority, 0),
        p_run_at,
        p_idempotency_key,
        v_correlation,
        v_trace,
        case when v_template.defaults is not null then array[p_context] end)
    then
        return tasker.find_same_task(p_namespace, p_name, p_version, p_idempotency_key, p_context);
    end if;

    perform pgmq.send(
        'orchestration_task_requests',
        jsonb_build_object('task_id', v_task_id),
        jsonb_strip_nulls(jsonb_build_object(
            'correlation_id', v_correlation,
            'traceparent', v_trace
        )),
        clock_timestamp());
    if coalesce(p_notify, v_limits.notify_on_enqueue) then
        perform tasker.notify_queue('orchestration_task_requests');
    end if;
    return v_task_id;
end
$$;
comment on function tasker.enqueue_task(
    text, text, jsonb, text, int, timestamptz, text, uuid, text, boolean
) is
    'Starts a task in the caller''s transaction and returns its id. '
    'If the transaction rolls back, the task was never enqueued. '
    'A null version means the current one (applied or used last). '
    'Keys that the context lacks get the defaults of the template''s input_schema. '
    'The same idempotency key with the same content returns the existing task. '
    'p_traceparent, from the caller''s trace, is dropped if it is not a valid W3C traceparent. '
    'p_notify false leaves the wake-up to the poll. p_priority matters only where steps wait for '
    'their turn: in a namespace with a limit, and among the steps that the sweep sends. '
    'Errors: TK001 namespace, TK002 template, TK003 version, TK005 context, TK006 idempotency key, '
    'TK008 run_at, TK019 a context or key over its limit.';
