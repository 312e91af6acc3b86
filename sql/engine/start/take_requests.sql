create function tasker.take_requests(
    p_max         int,
    out msg_ids   bigint[],
    out task_ids  uuid[],
    out contexts  text[],
    out errors    jsonb[],
    out more      boolean
)
language plpgsql volatile as $$
declare
    v_held   boolean := exists (select from tasker.held_requests);
    v_taken  int;
begin
    if v_held then
        select r.task_ids, r.more
        into task_ids, more
        from tasker.take_held_requests(p_max) r;
        msg_ids := array_fill(null::bigint, array[cardinality(task_ids)]);
    else
        select r.msg_ids, r.task_ids, r.more
        into msg_ids, task_ids, more
        from tasker.read_requests(p_max) r;
    end if;
    if coalesce(cardinality(task_ids), 0) = 0 then
        return;
    end if;

    select r.contexts, r.errors, r.taken
    into contexts, errors, v_taken
    from tasker.read_contexts(task_ids) r;

    -- The requests that are too many are for other calls, at once.
    if v_taken < cardinality(task_ids) then
        more := true;
        if not v_held then
            perform
            from pgmq.set_vt('orchestration_task_requests', msg_ids[v_taken + 1:], 0);
        end if;
        msg_ids := msg_ids[:v_taken];
        task_ids := task_ids[:v_taken];
    end if;

    -- Many wait: from now on they are taken in turn by namespace, where there are several.
    if more
       and not v_held
       and (select count(*) from (select from tasker.namespaces limit 2) n) > 1 then
        perform tasker.hold_requests();
    end if;

    -- Nobody else takes these for 30 seconds.
    if v_held then
        update tasker.held_requests h
        set next_at = tasker.clock() + interval '30 s'
        where h.task_id = any (task_ids);
    end if;
end
$$;
comment on function tasker.take_requests(int) is
    'Takes up to p_max requests: from their queue, or in turn by namespace if many wait; at most '
    'about 20,000 steps and 16 MiB of contexts. contexts: as text if there is an input_schema; '
    'errors: for a context that cannot be checked; msg_ids: null for one that was not in the '
    'queue; more: others wait.';
