-- for: orchestrator
-- planner: plan_cache_mode = force_generic_plan, enable_seqscan = off, jit = off
create function tasker.take_task_requests(p_max int, p_orchestrator_id uuid default null)
returns table (
    msg_id       bigint,
    task_id      uuid,
    template_id  uuid,
    context      jsonb
)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '100ms'
as $$
declare
    v_taken   record;
    v_errors  jsonb;
begin
    perform tasker.refuse_isolation();
    if tasker.limits() is not null then
        perform tasker.refuse_limited();
    end if;
    perform tasker.check_max(p_max);

    select *
    into v_taken
    from tasker.take_requests(p_max) r;

    -- Tasks whose context nobody can check end in error here.
    select jsonb_agg(jsonb_build_object(
        'msg_id', coalesce(r.msg_id, 0),
        'task_id', r.task_id,
        'error', r.error
    ))
    into v_errors
    from unnest(v_taken.msg_ids, v_taken.task_ids, v_taken.errors) r(msg_id, task_id, error)
    where r.error is not null;
    if v_errors is not null then
        perform tasker.initialize_tasks(v_errors, p_orchestrator_id);
    end if;

    return query
        select coalesce(r.msg_id, 0), t.task_id, t.template_id, r.context::jsonb
        from unnest(v_taken.msg_ids, v_taken.task_ids, v_taken.contexts, v_taken.errors)
            with ordinality r(msg_id, task_id, context, error, n)
        cross join lateral (
            select * from tasker.tasks t where t.task_id = r.task_id offset 0
        ) t
        where r.task_id is not null
          and r.error is null
        order by r.n;
end
$$;
comment on function tasker.take_task_requests(int, uuid) is
    'Takes up to p_max requests for new tasks, at most about 16 MiB of contexts. '
    'context is null if the template has no input_schema; msg_id is 0 if the request waited beside '
    'its queue. Answer with initialize_tasks within 30 seconds, or they are taken again.';
