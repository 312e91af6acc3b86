create function tasker.move_children(
    p_task_ids       uuid[],
    p_steps          text[],
    p_counts         int[],
    p_sent           boolean[],
    p_claimed_tasks  uuid[],
    p_claimed_steps  text[],
    p_msg_ids        bigint[],
    p_worker_id      uuid,
    p_now            timestamptz
)
returns void
language plpgsql volatile as $$
begin
    update tasker.steps s
    set waiting_on = s.waiting_on - i.n,
        updated_at = p_now,
        state = (case
            when c.msg_id is not null then 'in_progress'
            when i.sent then 'enqueued'
            else 'pending'
        end)::tasker.step_state,
        enqueued_at = case when i.sent then p_now end,
        claim_no = s.claim_no + (c.msg_id is not null)::int,
        attempt = s.attempt + (c.msg_id is not null)::int,
        msg_id = c.msg_id,
        worker_id = case when c.msg_id is not null then p_worker_id end,
        started_at = case when c.msg_id is not null then p_now end
    from unnest(p_task_ids, p_steps, p_counts, p_sent) i(task_id, name, n, sent)
    left join unnest(p_claimed_tasks, p_claimed_steps, p_msg_ids) c(task_id, name, msg_id)
      on c.task_id = i.task_id
     and c.name = i.name
    where s.task_id = i.task_id
      and s.name = i.name;
end
$$;
comment on function tasker.move_children(
    uuid[], text[], int[], boolean[], uuid[], text[], bigint[], uuid, timestamptz
) is
    'Counts waiting steps down; those with p_sent become enqueued, and those claimed at once, each '
    'with its message, become in_progress.';
