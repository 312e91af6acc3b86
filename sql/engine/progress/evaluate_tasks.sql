create function tasker.evaluate_tasks(
    p_settled      tasker.settled_step[],
    p_ready_tasks  uuid[],
    p_ready_held   boolean[],
    p_failing      uuid[],
    p_now          timestamptz,
    p_made_tasks   uuid[] default null,
    p_made_counts  int[] default null
)
returns int
language plpgsql volatile as $$
declare
    v_finished  int;
begin
    -- change: what the settled steps do to each task; next: its counters after that.
    with change as (
        select
            s.task_id,
            count(*) filter (where s.satisfied) as done,
            max(s.bytes) as largest,
            count(*) as settled,
            count(*) filter (where s.state = 'pending') as retry,
            count(*) filter (where s.state = 'error' and not s.satisfied) as failed,
            (
                array_agg(jsonb_build_object('step', s.step) || s.error order by s.step)
                    filter (where s.state = 'error' and not s.satisfied)
            )[1] as error,
            s.task_id = any (p_failing) as failing
        from unnest(p_settled) s
        where s.state <> 'cancelled'
        group by s.task_id
    ), next as (
        select
            c.task_id,
            t.template_id,
            coalesce(t.error, c.error) as error,
            greatest(t.largest_result, c.largest) as largest,
            coalesce(r.n, 0) as ready,
            t.remaining - c.done + coalesce(m.n, 0) as remaining,
            t.failed + c.failed as failed,
            case when c.failing then 0 else t.active - c.settled + coalesce(r.n, 0) end as active,
            case when c.failing then 0 else t.held + coalesce(r.held, 0) end as held,
            case when c.failing then 0 else t.waiting_retry + c.retry end as waiting_retry,
            c.failing
        from change c
        join lateral (
            select * from tasker.tasks t where t.task_id = c.task_id offset 0
        ) t on true
        left join (
            select
                x.task_id,
                count(*) filter (where not x.held) as n,
                count(*) filter (where x.held) as held
            from unnest(p_ready_tasks, p_ready_held) x(task_id, held)
            group by 1
        ) r on r.task_id = c.task_id
        left join unnest(p_made_tasks, p_made_counts) m(task_id, n) on m.task_id = c.task_id
    ), moved as (
        update tasker.tasks t
        set remaining = n.remaining,
            active = n.active,
            held = n.held,
            waiting_retry = n.waiting_retry,
            failed = n.failed,
            error = n.error,
            largest_result = n.largest,
            result = coalesce((n.made).value, t.result),
            output_errors = (n.made).error,
            state = tasker.derive_task_state(
                n.remaining,
                n.active,
                n.held,
                n.waiting_retry,
                n.failed,
                n.failing
            ),
            via = case
                when n.active > 0 and n.ready > 0 then '{evaluating_results,enqueuing_steps}'
                else '{evaluating_results}'
            end::tasker.task_state[],
            move_no = t.move_no + 1,
            updated_at = p_now,
            completed_at = case when n.remaining = 0 or n.failing then p_now end
        from (
            select n.*, case
                when n.remaining = 0 and not n.failing
                    then tasker.task_output(n.task_id, n.template_id)
            end as made
            from next n
            offset 0
        ) n
        where t.task_id = n.task_id
        returning t.completed_at
    )
    select count(m.completed_at)
    into v_finished
    from moved m;
    return v_finished;
end
$$;
comment on function tasker.evaluate_tasks(
    tasker.settled_step[], uuid[], boolean[], uuid[], timestamptz, uuid[], int[]
) is
    'One update for each task of a results batch: counters, state, error. '
    'p_failing: tasks that end now, their steps cancelled; p_made: how many steps were created. '
    'Returns how many finished. The caller holds the tasks.';
