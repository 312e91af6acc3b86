create function tasker.refuse_finished_task(p_task_id uuid, p_state tasker.task_state)
returns void
language plpgsql immutable as $$
begin
    raise exception 'task % has finished: %', p_task_id, p_state
        using errcode = 'TK031',
              hint = case
                  when p_state = 'error' then
                      'Start it again with tasker.reset_task (tasker task reset); completed '
                      'results are kept.'
                  else 'A task in this state cannot begin again: enqueue a new task.'
              end;
end
$$;
comment on function tasker.refuse_finished_task(uuid, tasker.task_state) is
    'Raises TK031.';
