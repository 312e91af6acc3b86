create function tasker.recount_tasks(p_task_ids uuid[])
returns void
language plpgsql volatile as $$
declare
    v_now  timestamptz := tasker.clock();
begin
    with counted as (
        select
            t.task_id,
            t.state as from_state,
            t.template_id,
            count(*) filter (where not s.satisfied) as remaining,
            coalesce(max(s.result_bytes), 0) as largest,
            count(*) filter (
                where s.state in ('enqueued', 'in_progress', 'enqueued_for_orchestration')
            ) as active,
            -- A retry that is due in a gated namespace is held like other steps: it has no time
            -- any more.
            count(*) filter (
                where s.state = 'pending'
                  and s.waiting_on = 0
                  and (s.error is null or s.available_at is null)
            ) as held,
            count(*) filter (
                where s.state = 'pending'
                  and s.waiting_on = 0
                  and s.error is not null
                  and s.available_at is not null
            ) as waiting_retry,
            -- A cancelled step of a task that goes on keeps it from its end, as a failed one does.
            count(*) filter (
                where s.state in ('error', 'cancelled')
                  and not s.satisfied
            ) as failed,
            -- The failure that the task names stays while its step is in error.
            (array_agg(
                jsonb_build_object('step', s.name) || s.error
                order by
                    s.name = t.error ->> 'step' desc nulls last,
                    s.completed_at,
                    s.name
            ) filter (where s.state = 'error' and not s.satisfied))[1] as error
        from (
            select distinct i.task_id
            from unnest(p_task_ids) i(task_id)
        ) i
        join tasker.tasks t on t.task_id = i.task_id
        join tasker.steps s on s.task_id = t.task_id
        where t.completed_at is null
           or t.state = 'error'
        group by t.task_id
    ), next as (
        select
            c.*,
            tasker.derive_task_state(
                c.remaining,
                c.active,
                c.held,
                c.waiting_retry,
                c.failed,
                false
            ) as state
        from counted c
    )
    update tasker.tasks t
    set remaining = n.remaining,
        active = n.active,
        held = n.held,
        waiting_retry = n.waiting_retry,
        failed = n.failed,
        error = n.error,
        largest_result = greatest(t.largest_result, n.largest),
        result = coalesce((n.made).value, t.result),
        output_errors = (n.made).error,
        state = n.state,
        move_no = t.move_no + (n.state <> n.from_state)::int,
        via = case
            when n.from_state <> 'error' then '{evaluating_results}'
            when n.state = 'steps_in_process' then '{enqueuing_steps}'
            else '{enqueuing_steps,steps_in_process,evaluating_results}'
        end::tasker.task_state[],
        updated_at = v_now,
        completed_at = case when n.state = 'complete' then v_now end
    from (
        select
            n.*,
            case
                when n.state = 'complete' then tasker.task_output(n.task_id, n.template_id)
            end as made
        from next n
        offset 0
    ) n
    where t.task_id = n.task_id;
end
$$;
comment on function tasker.recount_tasks(uuid[]) is
    'Recounts the steps of unfinished tasks after an operator has moved some, and derives the '
    'tasks'' states; a task in error resumes. The caller holds the tasks.';
