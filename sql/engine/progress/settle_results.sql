create function tasker.settle_results(
    p_msg_ids   bigint[],
    p_messages  jsonb[],
    p_wait      boolean,
    p_large     boolean,
    p_now       timestamptz
)
returns tasker.settled_step[]
language plpgsql volatile as $$
declare
    v_task_ids  uuid[];
    v_steps     text[];
    v_claims    int[];
    v_settled   tasker.settled_step[];
begin
    -- 1. Read the messages.
    select
        tasker.to_uuids(array_agg(m.message ->> 'task_id')),
        array_agg(m.message ->> 'step'),
        tasker.to_ints(array_agg(m.message ->> 'claim_no'))
    into v_task_ids, v_steps, v_claims
    from unnest(p_messages) m(message);

    -- 2. Lock the tasks, in order. Everything about a task is decided under its lock.
    if p_wait then
        perform 1
        from tasker.tasks t
        where t.task_id = any (v_task_ids)
        order by t.task_id
        for no key update;
    else
        select f.msg_ids, f.messages, f.task_ids, f.steps, f.claim_nos
        into p_msg_ids, p_messages, v_task_ids, v_steps, v_claims
        from tasker.lock_free_results(
            p_msg_ids, p_messages, v_task_ids, v_steps, v_claims, p_now) f;
    end if;

    -- 3. Settle the steps.
    v_settled := tasker.settle_steps(v_task_ids, v_steps, v_claims, p_now);
    if not p_large and tasker.has_large_result(v_settled) then
        raise exception 'a result of this batch is to be processed alone'
            using errcode = 'program_limit_exceeded';
    end if;

    -- A message that settled nothing is a repetition, or outdated, or no result: the last goes to
    -- the dead letters.
    if cardinality(v_settled) is distinct from cardinality(p_msg_ids) then
        perform tasker.bury_unknown_results(
            p_msg_ids, p_messages, v_task_ids, v_steps, v_claims);
    end if;
    return v_settled;
end
$$;
comment on function tasker.settle_results(
    bigint[], jsonb[], boolean, boolean, timestamptz
) is
    'The first phases of process_results_batch, with its p_wait and p_large: locks the tasks of '
    'results and settles their steps.';
