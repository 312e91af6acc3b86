create function tasker.insert_tasks(
    p_task_ids         uuid[],
    p_contexts         jsonb[],
    p_template_id      uuid,
    p_namespace        text,
    p_name             text,
    p_priority         int default 0,
    p_run_at           timestamptz default null,
    p_idempotency_key  text default null,
    p_correlation_id   uuid default null,
    p_traceparent      text default null,
    p_given            jsonb[] default null
)
returns boolean
language plpgsql volatile as $$
declare
    v_now  timestamptz := tasker.clock();
begin
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
        defaulted,
        created_at,
        updated_at
    )
    select
        i.task_id,
        p_template_id,
        p_namespace,
        p_name,
        p_priority,
        p_run_at,
        coalesce(p_correlation_id, i.task_id),
        p_traceparent,
        p_idempotency_key,
        i.context,
        octet_length(i.context::text),
        case
            when i.given <> i.context then array(
                select k from jsonb_object_keys(i.context) k where not i.given ? k
            )
        end,
        v_now,
        v_now
    from unnest(p_task_ids, p_contexts, p_given) i(task_id, context, given)
    on conflict (namespace, name, idempotency_key) where idempotency_key is not null do nothing;
    return found;
end
$$;
comment on function tasker.insert_tasks(
    uuid[], jsonb[], uuid, text, text, int, timestamptz, text, uuid, text, jsonb[]
) is
    'Creates a task for each context; the caller requests their start. '
    'p_given: the contexts without the defaults of the template, where it has any. '
    'False: a task with this idempotency key exists, and no task was created.';
