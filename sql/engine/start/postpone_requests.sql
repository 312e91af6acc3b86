create function tasker.postpone_requests(
    p_msg_ids   bigint[],
    p_task_ids  uuid[],
    p_free      uuid[],
    p_now       timestamptz
)
returns bigint[]
language plpgsql volatile as $$
declare
    v_held_tasks  uuid[];
    v_held_msgs   bigint[];
    v_done        bigint[];
    v_wait        interval;
begin
    select
        array_agg(r.task_id) filter (where t.held),
        array_agg(r.msg_id) filter (where t.held and r.msg_id is not null),
        coalesce(
            array_agg(r.msg_id) filter (where not t.held and r.msg_id is not null),
            '{}'
        ),
        -- Longer each time, by how long the oldest has waited already.
        least(
            interval '30 s',
            greatest(
                interval '1 s',
                (p_now - min(t.updated_at) filter (where t.held)) / 4
            )
        )
    into v_held_tasks, v_held_msgs, v_done, v_wait
    from unnest(p_msg_ids, p_task_ids) r(msg_id, task_id)
    left join lateral (
        select x.updated_at, x.task_id <> all (coalesce(p_free, '{}')) as held
        from tasker.tasks x
        where x.task_id = r.task_id
        offset 0
    ) t on true;

    if v_held_msgs is not null then
        perform
        from pgmq.set_vt(
            'orchestration_task_requests',
            v_held_msgs,
            ceil(extract(epoch from v_wait))::int
        );
    end if;

    -- A request without a message waits beside the queue, in held_requests.
    if exists (select from unnest(p_msg_ids) m(msg_id) where m.msg_id is null) then
        update tasker.held_requests h
        set next_at = p_now + v_wait
        where h.task_id = any (v_held_tasks);
        delete from tasker.held_requests h
        where h.task_id = any (p_task_ids)
          and h.task_id <> all (coalesce(v_held_tasks, '{}'));
    end if;

    return v_done;
end
$$;
comment on function tasker.postpone_requests(bigint[], uuid[], uuid[], timestamptz) is
    'Postpones the requests of locked tasks (all but p_free) for a moment; removes the others that '
    'wait beside their queue, and returns those in the queue.';
