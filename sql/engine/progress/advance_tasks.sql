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
    v_children     record;
    v_ready_tasks  uuid[];
    v_ready_steps  text[];
    v_ready_held   boolean[];
    v_active       uuid[];
    v_deciding     uuid[];
    v_made_tasks   uuid[];
    v_made_counts  int[];
begin
    enqueued := 0;
    held := 0;

    -- 4. Count down the children of what was satisfied. What reaches zero is ready: known from
    -- here, never searched for.
    v_children := tasker.count_down(
        p_settled, p_claim, p_handlers, p_worker_id, p_lease, p_now);
    claimed_tasks := v_children.claimed_tasks;
    claimed_steps := v_children.claimed_steps;
    v_active := claimed_tasks || v_children.ended_tasks;
    v_ready_tasks := v_children.ready_tasks;
    v_ready_steps := v_children.ready_steps;
    v_ready_held := v_children.ready_held;

    -- 5. What a decision, the cursors of a batch, or a condition bring into being, with counts
    -- read from the present state.
    select array_agg(distinct s.task_id)
    into v_deciding
    from unnest(p_settled) s
    where (s.decides or s.reveals) and s.satisfied and s.task_id <> all (p_failing)
      and (s.decides or tasker.may_reveal(s));
    if v_deciding is not null then
        select
            m.made_tasks,
            m.made_counts,
            v_ready_tasks || m.ready_tasks,
            v_ready_steps || m.ready_steps,
            v_ready_held || m.ready_held,
            v_active || m.ended_tasks
        into
            v_made_tasks, v_made_counts,
            v_ready_tasks, v_ready_steps, v_ready_held,
            v_active
        from tasker.create_steps(v_deciding, p_now, false) m;
    end if;

    -- 6. One update for each task.
    finished := tasker.evaluate_tasks(
        p_settled,
        v_ready_tasks || v_active,
        v_ready_held || array_fill(false, array[coalesce(cardinality(v_active), 0)]),
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
    'Applies settled steps to their tasks: children are counted down or created, tasks evaluated, '
    'ready steps sent; up to p_claim of these with a handler in p_handlers are claimed for the '
    'worker at once, for p_lease seconds. The caller holds the tasks.';
