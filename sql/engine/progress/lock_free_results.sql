create function tasker.lock_free_results(
    inout msg_ids    bigint[],
    inout messages   jsonb[],
    inout task_ids   uuid[],
    inout steps      text[],
    inout claim_nos  int[],
    p_now            timestamptz
)
language plpgsql volatile as $$
declare
    v_free  uuid[] := tasker.lock_free_tasks(task_ids, true);
begin
    if not exists (
        select
        from tasker.tasks t
        where t.task_id = any (task_ids)
          and t.task_id <> all (coalesce(v_free, '{}'))
    ) then
        return;
    end if;

    select
        array_agg(m.msg_id),
        array_agg(m.message),
        array_agg(m.task_id),
        array_agg(m.step),
        array_agg(m.claim_no)
    into msg_ids, messages, task_ids, steps, claim_nos
    from unnest(msg_ids, messages, task_ids, steps, claim_nos)
        m(msg_id, message, task_id, step, claim_no)
    where m.task_id = any (v_free)
       or not tasker.postpone_result(m.message, m.task_id, m.step, p_now);
end
$$;
comment on function tasker.lock_free_results(
    bigint[], jsonb[], uuid[], text[], int[], timestamptz
) is
    'Locks the tasks of results, except those locked by others, and returns their results. '
    'The other results come again in a moment.';
