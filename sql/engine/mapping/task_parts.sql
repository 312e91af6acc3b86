create function tasker.task_parts(
    p_task_id      uuid,
    p_mapping      jsonb,
    out context    jsonb,
    out task       jsonb,
    out constants  jsonb
)
language plpgsql stable as $$
begin
    -- Added to nothing, a large document is read from its table once, and not for each path.
    select
        case when p_mapping ? 'context' then t.context || '{}' end,
        case
            when p_mapping ? 'task' then jsonb_build_object(
                'task_id', t.task_id,
                'namespace', t.namespace,
                'name', t.name,
                'correlation_id', t.correlation_id,
                'created_at', to_char(
                    t.created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))
        end,
        case
            when p_mapping ? 'constants' then (
                select v.constants
                from tasker.templates v
                where v.template_id = t.template_id
            )
        end
    into context, task, constants
    from tasker.tasks t
    where t.task_id = p_task_id;
end
$$;
comment on function tasker.task_parts(uuid, jsonb) is
    'The parts of a task that a mapping names: $.context, $.task, $.constants.';
