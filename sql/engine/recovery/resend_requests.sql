create function tasker.resend_requests(p_max int, p_now timestamptz)
returns int
language plpgsql volatile as $$
declare
    v_oldest    timestamptz := tasker.oldest_message('orchestration_task_requests');
    v_task_ids  uuid[];
begin
    -- A task that became pending before the oldest message was sent has lost its request, unless
    -- the request waits beside the queue.
    with lost as materialized (
        select t.task_id
        from tasker.tasks t
        where t.completed_at is null
          and t.state = 'pending'
          and t.updated_at < least(v_oldest, p_now - interval '1 minute')
          and not exists (select from tasker.held_requests h where h.task_id = t.task_id)
        limit p_max
        for no key update skip locked
    ), touched as (
        update tasker.tasks t
        set updated_at = p_now
        from lost l
        where t.task_id = l.task_id
        returning t.task_id
    )
    select array_agg(t.task_id)
    into v_task_ids
    from touched t;

    if v_task_ids is not null then
        perform pgmq.send_batch(
            'orchestration_task_requests',
            array(select jsonb_build_object('task_id', i) from unnest(v_task_ids) i)
        );
        perform tasker.notify_queue('orchestration_task_requests');
    end if;
    return coalesce(cardinality(v_task_ids), 0);
end
$$;
comment on function tasker.resend_requests(int, timestamptz) is
    'Sends a new request for tasks that have been pending for a minute and whose request is gone.';
