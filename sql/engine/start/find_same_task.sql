create function tasker.find_same_task(
    p_namespace        text,
    p_name             text,
    p_version          text,
    p_idempotency_key  text,
    p_context          jsonb
)
returns uuid
language plpgsql volatile as $$
declare
    v_task  record;
begin
    -- Without what defaults have added: the client gives the same again.
    select t.task_id, t.context - coalesce(t.defaulted, '{}') as context, v.version
    into v_task
    from tasker.tasks t
    join tasker.templates v on v.template_id = t.template_id
    where t.namespace = p_namespace
      and t.name = p_name
      and t.idempotency_key = p_idempotency_key;
    if not found then
        -- The transaction of the other task is invisible to this one's older snapshot.
        raise exception
            'idempotency key "%" is being used by a concurrent transaction',
            p_idempotency_key
            using errcode = 'serialization_failure',
                  hint = 'Try again.';
    elsif v_task.context <> p_context
       or v_task.version <> coalesce(p_version, v_task.version) then
        raise exception
            'idempotency key "%" already belongs to task % with another %',
            p_idempotency_key,
            v_task.task_id,
            case when v_task.context <> p_context then 'context' else 'version' end
            using errcode = 'TK006',
                  hint = 'Use a new key for new work, '
                         'or pass the same version and context to get the existing task.';
    end if;
    return v_task.task_id;
end
$$;
comment on function tasker.find_same_task(text, text, text, text, jsonb) is
    'The task that already has this idempotency key, if its version and context are the same. '
    'Error: TK006.';
