create function tasker.initialize_batch(p_verdicts jsonb)
returns table (
    initialized  int,
    failed       int,
    enqueued     int,
    next_due_ms  bigint
)
language plpgsql volatile as $$
declare
    v_now          timestamptz := tasker.clock();
    v_msg_ids      bigint[];
    v_task_ids     uuid[];
    v_free         uuid[];
    v_errors       jsonb[];
    v_templates    uuid[];
    v_ready_tasks  uuid[];
    v_ready_steps  text[];
    v_held_tasks   uuid[];
    v_held_steps   text[];
    v_due          timestamptz;
begin
    select
        array_agg(nullif((e.v ->> 'msg_id')::bigint, 0)),
        array_agg((e.v ->> 'task_id')::uuid)
    into v_msg_ids, v_task_ids
    from jsonb_array_elements(p_verdicts) e(v);

    -- Tasks are locked in one statement and read in the next. Those begun by someone else drop
    -- out; those that somebody holds come again.
    v_free := tasker.lock_free_tasks(v_task_ids, true);
    v_msg_ids := tasker.postpone_requests(v_msg_ids, v_task_ids, v_free, v_now);
    select array_agg(t.task_id), array_agg(t.template_id), array_agg(r.error)
    into v_task_ids, v_templates, v_errors
    from (
        select distinct on (1)
            (e.v ->> 'task_id')::uuid as task_id,
            nullif(e.v -> 'error', 'null') as error
        from jsonb_array_elements(p_verdicts) e(v)
    ) r
    cross join lateral (
        select * from tasker.tasks t where t.task_id = r.task_id offset 0
    ) t
    where t.state = 'pending'
      and t.task_id = any (v_free);

    -- Make the first steps of each task and begin the task. A step without parents is sent at
    -- once, unless its task has a start time or its namespace is gated.
    with made as (
        insert into tasker.steps (
            task_id,
            name,
            template_step,
            decides,
            state,
            waiting_on,
            max_attempts,
            available_at,
            enqueued_at,
            updated_at,
            created_at
        )
        select
            r.task_id,
            p.name,
            p.name,
            p.type in ('decision', 'batchable'),
            (case
                when p.parent_count = 0 and not (t.later or t.gated) then 'enqueued'
                else 'pending'
            end)::tasker.step_state,
            p.parent_count,
            p.max_attempts,
            case when p.parent_count = 0 and t.later then t.run_at end,
            case when p.parent_count = 0 and not (t.later or t.gated) then v_now end,
            v_now,
            v_now
        from unnest(v_task_ids, v_templates, v_errors) r(task_id, template_id, error)
        cross join lateral (
            select
                t.run_at,
                coalesce(t.run_at > v_now, false) as later,
                t.namespace in (select g.namespace from tasker.every_gated_namespace g) as gated
            from tasker.tasks t
            where t.task_id = r.task_id
            offset 0
        ) t
        join tasker.template_steps p on p.template_id = r.template_id and p.initial
        where r.error is null
        order by r.task_id, p.level, p.position
        returning
            task_id,
            name,
            state,
            available_at,
            state = 'pending' and waiting_on = 0 and available_at is null as held
    ), counted as (
        select
            m.task_id,
            count(*) as steps,
            count(*) filter (where m.state = 'enqueued') as active,
            count(*) filter (where m.held or m.available_at is not null) as held
        from made m
        group by m.task_id
    ), moved as (
        update tasker.tasks t
        set state = (case
                when n.error is not null then 'error'
                when n.steps = 0 then 'complete'
                when n.active > 0 then 'steps_in_process'
                else 'waiting_for_dependencies'
            end)::tasker.task_state,
            via = case
                when n.active > 0 then '{initializing,enqueuing_steps}'
                else '{initializing}'
            end::tasker.task_state[],
            move_no = t.move_no + 1,
            remaining = n.steps,
            active = n.active,
            held = n.held,
            error = n.error,
            updated_at = v_now,
            started_at = v_now,
            completed_at = case when n.error is not null or n.steps = 0 then v_now end
        from (
            select
                r.task_id,
                r.error,
                coalesce(c.steps, 0) as steps,
                coalesce(c.active, 0) as active,
                coalesce(c.held, 0) as held
            from unnest(v_task_ids, v_errors) r(task_id, error)
            left join counted c on c.task_id = r.task_id
        ) n
        where t.task_id = n.task_id
        returning t.state
    )
    select
        (select count(*) from moved m where m.state <> 'error'),
        (select count(*) from moved m where m.state = 'error'),
        array_agg(m.task_id) filter (where m.state = 'enqueued'),
        array_agg(m.name) filter (where m.state = 'enqueued'),
        min(m.available_at),
        array_agg(m.task_id) filter (where m.held),
        array_agg(m.name) filter (where m.held)
    into
        initialized,
        failed,
        v_ready_tasks,
        v_ready_steps,
        v_due,
        v_held_tasks,
        v_held_steps
    from made m;

    -- Send or hold what is ready, and remove the requests.
    if v_held_tasks is not null then
        perform tasker.hold_steps(v_held_tasks, v_held_steps);
    end if;
    perform tasker.send_steps(v_ready_tasks, v_ready_steps);
    if v_msg_ids <> '{}' then
        perform pgmq.delete('orchestration_task_requests', v_msg_ids);
    end if;

    enqueued := coalesce(cardinality(v_ready_tasks), 0);
    -- A step that is held may have its turn at once.
    next_due_ms := case when v_held_tasks is not null then 0 else tasker.ms_until(v_due) end;
    return next;
end
$$;
comment on function tasker.initialize_batch(jsonb) is
    'The work of initialize_tasks for one batch, '
    'all or nothing but for tasks that somebody holds: their requests come again in a moment.';
