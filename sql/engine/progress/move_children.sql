create function tasker.move_children(
    p_task_ids       uuid[],
    p_steps          text[],
    p_counts         int[],
    p_sent           boolean[],
    p_makers         uuid[],
    p_claimed_tasks  uuid[],
    p_claimed_steps  text[],
    p_msg_ids        bigint[],
    p_worker_id      uuid,
    p_now            timestamptz,
    out ended_tasks  uuid[],
    out ended_steps  text[],
    out ended_ids    bigint[],
    out results      jsonb[]
)
language plpgsql volatile as $$
begin
    update tasker.steps s
    set waiting_on = s.waiting_on - i.n,
        updated_at = p_now,
        state = (case
            when (i.made).error is not null then 'enqueued_for_orchestration'
            when i.msg_id is not null then 'in_progress'
            when i.sent then 'enqueued'
            else 'pending'
        end)::tasker.step_state,
        enqueued_at = case when i.sent then p_now end,
        claim_no = s.claim_no + (i.msg_id is not null)::int,
        attempt = s.attempt + (i.msg_id is not null and (i.made).error is null)::int,
        msg_id = i.msg_id,
        worker_id = case when i.msg_id is not null then p_worker_id end,
        started_at = case when i.msg_id is not null then p_now end,
        inputs = coalesce((i.made).value, s.inputs),
        error = coalesce(
            (i.made).error || jsonb_build_object('attempt', s.attempt),
            s.error)
    from (
        select
            i.*,
            c.msg_id,
            case
                when c.msg_id is not null and i.maker is not null
                    then tasker.step_inputs(i.task_id, i.maker, i.name)
            end as made
        from unnest(p_task_ids, p_steps, p_counts, p_sent, p_makers)
            i(task_id, name, n, sent, maker)
        left join unnest(p_claimed_tasks, p_claimed_steps, p_msg_ids) c(task_id, name, msg_id)
          on c.task_id = i.task_id
         and c.name = i.name
        offset 0
    ) i
    where s.task_id = i.task_id
      and s.name = i.name;

    if p_claimed_tasks is not null and cardinality(array_remove(p_makers, null)) > 0 then
        select
            array_agg(s.task_id),
            array_agg(s.name),
            array_agg(s.msg_id),
            array_agg(tasker.result_message(s.task_id, s.name, s.claim_no))
        into ended_tasks, ended_steps, ended_ids, results
        from unnest(p_claimed_tasks, p_claimed_steps) c(task_id, name)
        cross join lateral (
            select *
            from tasker.steps q
            where q.task_id = c.task_id
              and q.name = c.name
              and q.state = 'enqueued_for_orchestration'
            offset 0
        ) s;
    end if;
end
$$;
comment on function tasker.move_children(
    uuid[], text[], int[], boolean[], uuid[], uuid[], text[], bigint[], uuid, timestamptz
) is
    'Counts waiting steps down; those with p_sent become enqueued, and those claimed at once, each '
    'with its message, become in_progress. p_makers: the templates of those whose inputs are to '
    'be made. ended: those whose inputs cannot be, with their messages and results.';
