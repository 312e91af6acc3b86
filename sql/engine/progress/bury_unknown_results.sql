create function tasker.bury_unknown_results(
    p_msg_ids    bigint[],
    p_messages   jsonb[],
    p_task_ids   uuid[],
    p_steps      text[],
    p_claim_nos  int[]
)
returns void
language plpgsql volatile as $$
begin
    perform tasker.keep_dead_letter(
        'orchestration_step_results',
        m.msg_id,
        m.message,
        'a result must be {"task_id","step","claim_no"} of a known step'
    )
    from unnest(p_msg_ids, p_messages, p_task_ids, p_steps, p_claim_nos)
        m(msg_id, message, task_id, step, claim_no)
    where m.claim_no is null
       or not exists (
            select
            from tasker.steps s
            where s.task_id = m.task_id
              and s.name = m.step
       );
end
$$;
comment on function tasker.bury_unknown_results(
    bigint[], jsonb[], uuid[], text[], int[]
) is
    'Makes a dead letter of each message that is not a result. '
    'Repeated and outdated results are left out.';
