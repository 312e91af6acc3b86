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
    c_bytes  constant bigint := 16 * 1024 * 1024;
    c_steps  constant int := 20000;
    v_held   boolean := exists (select from tasker.held_requests);
    v_taken  int := 0;
    v_bytes  bigint := 0;
    v_steps  bigint := 0;
    v_one    record;
    v_check  record;
begin
    -- While requests wait beside the queue, the others join them and all are taken in turn.
    if not v_held then
        select r.msg_ids, r.task_ids, r.more
        into msg_ids, task_ids, more
        from tasker.read_requests(p_max) r;
    else
        perform tasker.hold_requests();
        task_ids := array(select tasker.requests_in_turn(p_max));
        more := cardinality(task_ids) > 0;

        -- The requests of tasks that were cancelled while they waited.
        delete from tasker.held_requests h
        where h.task_id = any (task_ids)
          and not exists (
            select
            from tasker.tasks t
            where t.task_id = h.task_id
              and t.state = 'pending'
          );
        task_ids := array(
            select r.task_id
            from unnest(task_ids) with ordinality r(task_id, n)
            where exists (select from tasker.held_requests h where h.task_id = r.task_id)
            order by r.n
        );
        msg_ids := array_fill(null::bigint, array[cardinality(task_ids)]);
    end if;
    if coalesce(cardinality(task_ids), 0) = 0 then
        return;
    end if;

    contexts := array_fill(null::text, array[cardinality(task_ids)]);
    errors := array_fill(null::jsonb, array[cardinality(task_ids)]);
    -- Bounded by the steps to be made and by the bytes to be checked; one request always.
    for v_one in
        select
            r.n::int,
            r.task_id,
            v.input_schema is not null as checked,
            coalesce(c.steps, 0) as steps
        from unnest(task_ids) with ordinality r(task_id, n)
        cross join lateral (
            select * from tasker.tasks t where t.task_id = r.task_id offset 0
        ) t
        join tasker.templates v on v.template_id = t.template_id
        left join (
            select p.template_id, count(*) as steps
            from tasker.template_steps p
            where p.template_id in (
                select t.template_id
                from tasker.tasks t
                where t.task_id = any (task_ids)
              )
              and p.initial
            group by p.template_id
        ) c on c.template_id = t.template_id
        order by r.n
    loop
        exit when v_taken > 0
              and (v_steps + v_one.steps > c_steps or v_bytes >= c_bytes);
        v_steps := v_steps + v_one.steps;
        if v_one.checked then
            select *
            into v_check
            from tasker.request_context(v_one.task_id);
            exit when v_taken > 0
                  and v_bytes + octet_length(v_check.context) > c_bytes;
            v_bytes := v_bytes + coalesce(octet_length(v_check.context), 0);
            contexts[v_one.n] := v_check.context;
            if v_check.too_large then
                errors[v_one.n] :=
                    '{"code": "input_too_large", '
                    '"message": "the context has more than 100 MiB as text: '
                    'it cannot be checked against the input_schema"}';
            end if;
        end if;
        v_taken := v_one.n;
    end loop;

    -- The requests that are too many are for other calls, at once.
    if v_taken < cardinality(task_ids) then
        more := true;
        if not v_held then
            perform
            from pgmq.set_vt('orchestration_task_requests', msg_ids[v_taken + 1:], 0);
        end if;
        msg_ids := msg_ids[:v_taken];
        task_ids := task_ids[:v_taken];
        contexts := contexts[:v_taken];
        errors := errors[:v_taken];
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
    'Takes up to p_max requests: from their queue, or in turn by namespace where many wait; '
    'at most about 20,000 steps and 16 MiB of contexts. '
    'contexts: as text where there is an input_schema; '
    'errors: for a context that nobody can check; '
    'msg_ids: null for one that was not in the queue; more: others wait.';
