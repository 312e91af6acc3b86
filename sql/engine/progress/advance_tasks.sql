create function tasker.advance_tasks(
    p_settled    tasker.settled_step[],
    p_now        timestamptz,
    p_failing    uuid[] default '{}',
    p_claim      int default 0,
    p_handlers   text[] default '{}',
    p_worker_id  uuid default null,
    p_lease      int default null
)
returns table (
    enqueued       int,
    held           int,
    finished       int,
    claimed_tasks  uuid[],
    claimed_steps  text[]
)
language plpgsql volatile as $$
declare
    v_task_ids      uuid[];
    v_steps         text[];
    v_counts        int[];
    v_sent          boolean[];
    v_ready_tasks   uuid[];
    v_ready_steps   text[];
    v_ready_held    boolean[];
    v_deciding      uuid[];
    v_made_tasks    uuid[];
    v_made_counts   int[];
    v_not_held      boolean[];
    v_msg_ids       bigint[];
    v_wanted_tasks  uuid[];
    v_wanted_steps  text[];
begin
    enqueued := 0;
    held := 0;

    -- 4. Count down the children of what was satisfied. What reaches zero is ready: known from
    -- here, never searched for. Read first, as a claim is written together with its message; the
    -- caller holds the tasks, so that nobody else counts.
    select
        array_agg(c.task_id),
        array_agg(c.name),
        array_agg(c.n),
        array_agg(c.ready and not c.held),
        array_agg(c.task_id) filter (where c.ready and not c.claimed),
        array_agg(c.name) filter (where c.ready and not c.claimed),
        array_agg(c.held) filter (where c.ready and not c.claimed),
        array_agg(c.task_id) filter (where c.claimed),
        array_agg(c.name) filter (where c.claimed)
    into
        v_task_ids, v_steps, v_counts, v_sent,
        v_ready_tasks, v_ready_steps, v_ready_held,
        claimed_tasks, claimed_steps
    from tasker.counted_children(p_settled, p_claim, p_handlers) c;

    -- Nobody sees a claim's message before its lease has run out.
    if claimed_tasks is not null then
        v_wanted_tasks := claimed_tasks;
        v_wanted_steps := claimed_steps;
        select array_agg(m.task_id), array_agg(m.step), array_agg(m.msg_id), array_agg(false)
        into claimed_tasks, claimed_steps, v_msg_ids, v_not_held
        from tasker.send_steps(claimed_tasks, claimed_steps, make_interval(secs => p_lease)) m;
        -- Where their queue is gone, they are as good as sent: the safety net sends them once it
        -- is back.
        if claimed_tasks is null then
            v_ready_tasks := v_ready_tasks || v_wanted_tasks;
            v_ready_steps := v_ready_steps || v_wanted_steps;
            v_ready_held := v_ready_held
                || array_fill(false, array[cardinality(v_wanted_tasks)]);
        end if;
    end if;

    if v_task_ids is not null then
        perform tasker.move_children(
            v_task_ids, v_steps, v_counts, v_sent,
            claimed_tasks, claimed_steps, v_msg_ids, p_worker_id, p_now);
    end if;

    -- 5. What a decision or the cursors of a batch bring into being, with counts read from the
    -- present state.
    select array_agg(distinct s.task_id)
    into v_deciding
    from unnest(p_settled) s
    where s.decides and s.satisfied and s.task_id <> all (p_failing);
    if v_deciding is not null then
        select
            m.made_tasks,
            m.made_counts,
            v_ready_tasks || m.ready_tasks,
            v_ready_steps || m.ready_steps,
            v_ready_held || m.ready_held
        into v_made_tasks, v_made_counts, v_ready_tasks, v_ready_steps, v_ready_held
        from tasker.create_steps(v_deciding, p_now, false) m;
    end if;

    -- 6. One update for each task.
    finished := tasker.evaluate_tasks(
        p_settled,
        v_ready_tasks || claimed_tasks,
        v_ready_held || v_not_held,
        p_failing,
        p_now,
        v_made_tasks,
        v_made_counts);

    -- 7. Send, or hold where the namespace takes none now.
    if v_ready_tasks is not null then
        select s.sent, s.held
        into enqueued, held
        from tasker.send_or_hold(v_ready_tasks, v_ready_steps, v_ready_held) s;
    end if;
    return next;
end
$$;
comment on function tasker.advance_tasks(
    tasker.settled_step[], timestamptz, uuid[], int, text[], uuid, int
) is
    'What follows from settled steps: children counted down or made, tasks evaluated, ready steps '
    'sent; up to p_claim of them, with a handler in p_handlers, are claimed for the worker at '
    'once, for p_lease seconds. The caller holds the tasks.';
