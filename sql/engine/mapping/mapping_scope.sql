create function tasker.mapping_scope(p_task_id uuid, p_mapping jsonb) returns jsonb
language plpgsql stable as $$
declare
    v_scope    jsonb := '{}';
    v_task     record;
    v_names    text[];
    v_results  jsonb;
begin
    if p_mapping ?| '{context,task,batches}' then
        select
            t.template_id,
            case when p_mapping ? 'context' then t.context end as context,
            case
                when p_mapping ? 'task' then jsonb_build_object(
                    'task_id', t.task_id,
                    'namespace', t.namespace,
                    'name', t.name,
                    'correlation_id', t.correlation_id,
                    'created_at', to_char(
                        t.created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))
            end as task
        into v_task
        from tasker.tasks t
        where t.task_id = p_task_id;
        v_scope := jsonb_build_object('context', v_task.context, 'task', v_task.task);
    end if;

    if p_mapping ? 'names' then
        v_names := (p_mapping ->> 'names')::text[];
        v_results := (
            select jsonb_object_agg(step.name, step.result)
            from unnest(v_names) n(name)
            cross join lateral (
                select s.name, s.result
                from tasker.steps s
                where s.task_id = p_task_id
                  and s.name = n.name
                  and s.satisfied
                offset 0
            ) step
        );
        if p_mapping ? 'batches' then
            v_results := coalesce(v_results, '{}') || tasker.batch_summaries(
                p_task_id, v_task.template_id, (p_mapping ->> 'batches')::text[]);
        end if;
        v_scope := v_scope
            || jsonb_build_object(p_mapping ->> 'under', coalesce(v_results, '{}'));
    end if;
    return v_scope;
end
$$;
comment on function tasker.mapping_scope(uuid, jsonb) is
    'What the paths of a mapping look into, with only the parts that they name.';
