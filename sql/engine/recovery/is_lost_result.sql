create function tasker.is_lost_result(
    p_task_id   uuid,
    p_step      text,
    p_claim_no  int
)
returns boolean
language plpgsql stable as $$
begin
    return not exists (
        select
        from tasker.slow_results r
        where r.task_id = p_task_id
          and r.step = p_step
          and r.claim_no = p_claim_no
    )
    -- A dead letter sent again would become a dead letter again, once a minute.
    and not exists (
        select
        from tasker.dead_letters d
        where d.task_id = p_task_id
          and d.status = 'pending'
          and d.queue = 'orchestration_step_results'
          and d.message = tasker.result_message(p_task_id, p_step, p_claim_no)
    );
end
$$;
comment on function tasker.is_lost_result(uuid, text, int) is
    'Whether to send a stored result again that has waited for long: it was not set aside and is '
    'not a dead letter.';
