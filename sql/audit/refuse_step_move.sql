create function tasker.refuse_step_move(
    p_task_id  uuid,
    p_step     text,
    p_from     tasker.step_state,
    p_to       tasker.step_state
)
returns tasker.step_state[]
language plpgsql immutable as $$
begin
    raise exception
        'step % of task % cannot move from % to %',
        p_step,
        p_task_id,
        p_from,
        p_to
        using errcode = 'TK020',
              hint = 'Use the functions of schema tasker; '
                     'the legal moves are in tasker.step_moves.';
end
$$;
comment on function tasker.refuse_step_move(uuid, text, tasker.step_state, tasker.step_state) is
    'Raises the error of an illegal move.';
