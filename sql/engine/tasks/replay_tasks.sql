create function tasker.replay_tasks(p_task_ids uuid[])
returns void
language plpgsql volatile as $$
declare
    v_now         timestamptz := tasker.clock();
    v_stepless    uuid[];
    v_names       text[];
    v_task_ids    uuid[];
    v_waiting_on  int[];
begin
    -- A task that failed before it had steps begins from its request.
    with stepless as materialized (
        select t.task_id
        from tasker.tasks t
        where t.task_id = any (p_task_ids)
          and not exists (
              select from tasker.steps s
              where s.task_id = t.task_id
          )
    ), moved as (
        update tasker.tasks t
        set state = 'pending',
            error = null,
            started_at = null,
            completed_at = null,
            updated_at = v_now
        from stepless i
        where t.task_id = i.task_id
        returning t.task_id
    )
    select array_agg(m.task_id)
    into v_stepless
    from moved m;

    if v_stepless is not null then
        perform pgmq.send_batch(
            'orchestration_task_requests',
            array(select jsonb_build_object('task_id', i) from unnest(v_stepless) i)
        );
        perform tasker.notify_queue('orchestration_task_requests');
    end if;

    -- The steps are locked in one statement and read in the next.
    perform from tasker.steps s
    where s.task_id = any (p_task_ids)
      and s.state in ('error', 'cancelled')
      and not s.satisfied
    order by s.task_id, s.name
    for no key update;

    select array_agg(f.task_id), array_agg(f.name), array_agg(f.waiting_on)
    into v_task_ids, v_names, v_waiting_on
    from tasker.failed_steps(p_task_ids) f;

    perform tasker.restart_steps(v_task_ids, v_names, v_waiting_on);

    -- Decisions that were made when the task had failed take effect now.
    perform tasker.create_steps(p_task_ids, v_now, true);

    perform tasker.recount_tasks(p_task_ids);
end
$$;
comment on function tasker.replay_tasks(uuid[]) is
    'Resumes tasks in blocked_by_failures or error: failed and cancelled steps become pending '
    'again with all their attempts, completed results are kept. '
    'The caller holds the tasks.';
