-- for: client, operator, readonly
-- planner: jit = off
create function tasker.task_status(p_task_id uuid)
returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_status  jsonb;
begin
    perform tasker.check_task(p_task_id);
    select jsonb_build_object(
        'task_id', t.task_id,
        'namespace', t.namespace,
        'name', t.name,
        'version', v.version,
        'state', t.state,
        'steps', (
            select coalesce(jsonb_object_agg(c.state, c.n), '{}')
            from (
                select s.state, count(*) as n
                from tasker.steps s
                where s.task_id = t.task_id
                group by s.state
            ) c
        ),
        'error', t.error,
        'correlation_id', t.correlation_id,
        'created_at', t.created_at,
        'started_at', t.started_at,
        'completed_at', t.completed_at
    ) || case
        when t.output_errors is null then '{}'
        else jsonb_build_object('output_errors', t.output_errors)
    end
    into v_status
    from tasker.tasks t
    join tasker.templates v on v.template_id = t.template_id
    where t.task_id = p_task_id;
    if not found then
        perform tasker.refuse_unknown_task(p_task_id);
    end if;
    return v_status;
end
$$;
comment on function tasker.task_status(uuid) is
    'A task in one object: template, state, its steps counted by state, error, and times; where '
    'keys of the output are null for an error, output_errors says why. '
    'Error: TK004 no such task.';
