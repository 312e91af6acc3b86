create function tasker.count_down(
    p_settled          tasker.settled_step[],
    p_claim            int,
    p_handlers         text[],
    p_worker_id        uuid,
    p_lease            int,
    p_now              timestamptz,
    out claimed_tasks  uuid[],
    out claimed_steps  text[],
    out ended_tasks    uuid[],
    out ready_tasks    uuid[],
    out ready_steps    text[],
    out ready_held     boolean[]
)
language plpgsql volatile as $$
declare
    v_task_ids      uuid[];
    v_steps         text[];
    v_counts        int[];
    v_sent          boolean[];
    v_makers        uuid[];
    v_wanted_tasks  uuid[];
    v_wanted_steps  text[];
    v_msg_ids       bigint[];
    v_moved         record;
begin
    -- Read first, as a claim is written together with its message; the caller holds the tasks, so
    -- that nobody else counts.
    select
        array_agg(c.task_id),
        array_agg(c.name),
        array_agg(c.n),
        array_agg(c.ready and not c.held),
        array_agg(c.maker),
        array_agg(c.task_id) filter (where c.ready and not c.claimed),
        array_agg(c.name) filter (where c.ready and not c.claimed),
        array_agg(c.held) filter (where c.ready and not c.claimed),
        array_agg(c.task_id) filter (where c.claimed),
        array_agg(c.name) filter (where c.claimed)
    into
        v_task_ids, v_steps, v_counts, v_sent, v_makers,
        ready_tasks, ready_steps, ready_held,
        v_wanted_tasks, v_wanted_steps
    from tasker.counted_children(p_settled, p_claim, p_handlers) c;
    if v_task_ids is null then
        return;
    end if;

    -- Nobody sees a claim's message before its lease has run out.
    if v_wanted_tasks is not null then
        select array_agg(m.task_id), array_agg(m.step), array_agg(m.msg_id)
        into claimed_tasks, claimed_steps, v_msg_ids
        from tasker.send_steps(v_wanted_tasks, v_wanted_steps, make_interval(secs => p_lease)) m;
        -- Where their queue is gone, they are as good as sent: the safety net sends them once it
        -- is back.
        if claimed_tasks is null then
            ready_tasks := ready_tasks || v_wanted_tasks;
            ready_steps := ready_steps || v_wanted_steps;
            ready_held := ready_held || array_fill(false, array[cardinality(v_wanted_tasks)]);
        end if;
    end if;
    v_moved := tasker.move_children(
        v_task_ids, v_steps, v_counts, v_sent, v_makers,
        claimed_tasks, claimed_steps, v_msg_ids, p_worker_id, p_now);
    if v_moved.results is not null then
        ended_tasks := v_moved.ended_tasks;
        select array_agg(c.task_id), array_agg(c.name)
        into claimed_tasks, claimed_steps
        from unnest(claimed_tasks, claimed_steps) c(task_id, name)
        where (c.task_id, c.name) not in (
            select * from unnest(v_moved.ended_tasks, v_moved.ended_steps)
        );
        perform tasker.send_results(v_moved.results);
        perform tasker.delete_messages(v_moved.ended_tasks, v_moved.ended_ids);
    end if;
end
$$;
comment on function tasker.count_down(
    tasker.settled_step[], int, text[], uuid, int, timestamptz
) is
    'Counts down the waiting children of satisfied steps and claims up to p_claim of those that '
    'become ready for the worker. ready: the others that became ready, to be sent or held. '
    'ended: a task for each step that became ready and whose inputs cannot be made.';
