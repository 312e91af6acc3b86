create function tasker.initialize_batch(p_verdicts jsonb)
returns table (
    initialized  int,
    failed       int,
    enqueued     int,
    next_due_ms  bigint
)
language plpgsql volatile as $$
declare
    v_now        timestamptz := tasker.clock();
    v_msg_ids    bigint[];
    v_task_ids   uuid[];
    v_free       uuid[];
    v_errors     jsonb[];
    v_templates  uuid[];
    v_judged     uuid[];
    v_made       tasker.first_steps;
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

    v_made := tasker.make_first_steps(v_task_ids, v_templates, v_errors, v_now);
    select array_agg(i.task_id)
    into v_judged
    from unnest(v_task_ids, v_templates, v_errors) i(task_id, template_id, error)
    join tasker.templates t on t.template_id = i.template_id and t.judged_roots
    where i.error is null;
    if v_judged is not null then
        v_made := tasker.make_judged_roots(v_judged, v_now, v_made);
    end if;
    select b.initialized, b.failed
    into initialized, failed
    from tasker.begin_tasks(v_task_ids, v_errors, v_made.begun, v_now) b;

    -- Send or hold what is ready, and remove the requests.
    if v_made.held_tasks is not null then
        perform tasker.hold_steps(v_made.held_tasks, v_made.held_steps);
    end if;
    perform tasker.send_steps(v_made.ready_tasks, v_made.ready_steps);
    if v_msg_ids <> '{}' then
        perform pgmq.delete('orchestration_task_requests', v_msg_ids);
    end if;

    enqueued := coalesce(cardinality(v_made.ready_tasks), 0);
    -- A step that is held may have its turn at once.
    next_due_ms := case
        when v_made.held_tasks is not null then 0
        else tasker.ms_until(v_made.due)
    end;
    return next;
end
$$;
comment on function tasker.initialize_batch(jsonb) is
    'The work of initialize_tasks for one batch, all or nothing, except for locked tasks: their '
    'requests come again in a moment.';
