create function tasker.save_checkpoints(
    p_worker_id  uuid,
    p_held       int[],
    p_task_ids   uuid[],
    p_steps      text[],
    p_claim_nos  int[],
    p_outcomes   jsonb[],
    p_errors     jsonb[],
    p_now        timestamptz
)
returns int[]
language plpgsql volatile as $$
declare
    v_saved     int[];
    v_task_ids  uuid[];
    v_steps     text[];
    v_msg_ids   bigint[];
begin
    perform tasker.set_actor(p_worker_id, 'checkpoint');
    with held as materialized (
        select
            i.n,
            s.task_id,
            s.name,
            s.msg_id,
            jsonb_build_object(
                'cursor', i.outcome -> 'cursor',
                'items_processed', tasker.to_items(i.outcome -> 'items_processed'),
                'accumulated', coalesce(i.outcome -> 'accumulated', 'null')) as checkpoint
        from (
            select i.*
            from unnest(p_held) h(n)
            join unnest(p_task_ids, p_steps, p_claim_nos, p_outcomes, p_errors)
                with ordinality i(task_id, step, claim_no, outcome, error, n)
              on i.n = h.n
            where i.outcome ->> 'type' = 'checkpoint'
              and i.error is null
        ) i
        cross join lateral (
            select *
            from tasker.steps s
            where s.task_id = i.task_id
              and s.name = i.step
              and s.claim_no = i.claim_no
              and s.state = 'in_progress'
            offset 0
        ) s
    ), moved as (
        -- The step moves as in a release. Its attempts count from the last progress: a long step
        -- outlives more crashes than it has attempts.
        update tasker.steps s
        set state = 'enqueued',
            attempt = 0,
            lease_losses = 0,
            worker_losses = 0,
            checkpoint = h.checkpoint,
            error = null,
            msg_id = null,
            worker_id = null,
            enqueued_at = p_now,
            updated_at = p_now
        from held h
        where s.task_id = h.task_id
          and s.name = h.name
        returning h.n, s.task_id, s.name, h.msg_id
    )
    select
        array_agg(m.n),
        array_agg(m.task_id),
        array_agg(m.name),
        array_agg(m.msg_id)
    into v_saved, v_task_ids, v_steps, v_msg_ids
    from moved m;

    if v_saved is not null then
        perform tasker.delete_messages(v_task_ids, v_msg_ids);
        -- A new message goes to the end of the queue, so that others have their turn.
        -- The old one's id must never again match a claim.
        perform tasker.send_steps(v_task_ids, v_steps);
    end if;
    perform tasker.set_actor(p_worker_id);
    return v_saved;
end
$$;
comment on function tasker.save_checkpoints(
    uuid, int[], uuid[], text[], int[], jsonb[], jsonb[], timestamptz
) is
    'Stores the checkpoints among outcomes and sends their steps again; their attempt counters '
    'restart. Returns the places of those stored. p_held: the places of those whose steps the '
    'caller holds.';
