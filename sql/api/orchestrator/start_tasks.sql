-- for: orchestrator
-- planner: plan_cache_mode = force_generic_plan, enable_seqscan = off, jit = off
create function tasker.start_tasks(p_max int, p_orchestrator_id uuid default null)
returns table (
    taken        int,
    initialized  int,
    failed       int,
    enqueued     int,
    next_due_ms  bigint,
    to_check     jsonb,
    more         boolean
)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '100ms'
as $$
declare
    v_taken     record;
    v_verdicts  jsonb;
begin
    perform tasker.refuse_isolation();
    if tasker.limits() is not null then
        perform tasker.refuse_limited();
    end if;

    -- Nobody needs to wait for the disk here: a crash that undoes this leaves the requests in their
    -- queue, to be taken again, and every commit that builds on it is written after it. Only where
    -- nothing else was written in this transaction before.
    if pg_current_xact_id_if_assigned() is null then
        perform set_config('synchronous_commit', 'off', true);
    end if;

    perform tasker.check_max(p_max);
    select *
    into v_taken
    from tasker.take_requests(p_max) r;
    taken := coalesce(cardinality(v_taken.task_ids), 0);
    more := v_taken.more;
    if taken = 0 then
        to_check := '[]';
        return next;
        return;
    end if;

    -- Start the tasks whose context needs no check, and hand out the others.
    select
        jsonb_agg(jsonb_build_object(
            'msg_id', coalesce(r.msg_id, 0),
            'task_id', r.task_id,
            'error', r.error
        )) filter (where r.context is null),
        coalesce(
            jsonb_agg(jsonb_build_object(
                'msg_id', coalesce(r.msg_id, 0),
                'task_id', r.task_id,
                'template_id', t.template_id,
                'context', r.context
            )) filter (where r.context is not null),
            '[]'
        )
    into v_verdicts, to_check
    from unnest(v_taken.msg_ids, v_taken.task_ids, v_taken.contexts, v_taken.errors)
        with ordinality r(msg_id, task_id, context, error, n)
    cross join lateral (
        select t.template_id from tasker.tasks t where t.task_id = r.task_id offset 0
    ) t
    where r.task_id is not null;
    if v_verdicts is not null then
        select i.initialized, i.failed, i.enqueued, i.next_due_ms
        into initialized, failed, enqueued, next_due_ms
        from tasker.initialize_tasks(v_verdicts, p_orchestrator_id) i;
    end if;
    return next;
end
$$;
comment on function tasker.start_tasks(int, uuid) is
    'take_task_requests and initialize_tasks in one call for tasks whose context needs no check. '
    'to_check: the others, as take_task_requests returns them, for initialize_tasks; context as '
    'text, so that an unreadable context fails only its own task. '
    'more: others wait.';
