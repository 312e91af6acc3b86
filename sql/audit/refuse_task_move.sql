create function tasker.refuse_task_move(
    p_task_id  uuid,
    p_from     tasker.task_state,
    p_to       tasker.task_state
)
returns tasker.task_state[]
language plpgsql immutable as $$
begin
    raise exception 'task % cannot move from % to %', p_task_id, p_from, p_to
        using errcode = 'TK020',
              hint = 'Use the functions of schema tasker; '
                     'the legal moves are in tasker.task_moves.';
end
$$;
comment on function tasker.refuse_task_move(uuid, tasker.task_state, tasker.task_state) is
    'Raises the error of an illegal move.';
