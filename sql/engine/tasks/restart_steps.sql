create function tasker.restart_steps(
    p_task_ids    uuid[],
    p_steps       text[],
    p_waiting_on  int[]
)
returns void
language plpgsql volatile as $$
declare
    v_now  timestamptz := tasker.clock();
begin
    update tasker.steps s
    set state = 'pending',
        attempt = 0,
        lease_losses = 0,
        worker_losses = 0,
        waiting_on = i.waiting_on,
        available_at = case when i.waiting_on = 0 then v_now end,
        -- So that a result still on its way is stale, and not taken for one that is stored.
        claim_no = s.claim_no + 1,
        -- A cursor stays; what a template makes is made again.
        inputs = case when s.instance is not null then s.inputs end,
        result = null,
        result_bytes = null,
        error = null,
        msg_id = null,
        worker_id = null,
        enqueued_at = null,
        started_at = null,
        completed_at = null,
        duration_ms = null,
        updated_at = v_now
    from unnest(p_task_ids, p_steps, p_waiting_on) i(task_id, name, waiting_on)
    where s.task_id = i.task_id
      and s.name = i.name;
    perform tasker.judge_again(p_task_ids, p_steps, v_now);
end
$$;
comment on function tasker.restart_steps(uuid[], text[], int[]) is
    'Makes steps pending again with all their attempts. '
    'Those that wait for nothing are sent by enqueue_ready_steps; conditions that could not be '
    'judged are judged again. The caller holds the tasks.';
