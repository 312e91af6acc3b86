create function tasker.result_message(
    p_task_id   uuid,
    p_step      text,
    p_claim_no  int
)
returns jsonb
language sql immutable parallel safe as $$
    select jsonb_build_object('task_id', p_task_id, 'step', p_step, 'claim_no', p_claim_no)
$$;
comment on function tasker.result_message(uuid, text, int) is
    'The message that announces a stored result.';
