create function tasker.refuse_unknown_step(p_task_id uuid, p_step text)
returns void
language plpgsql stable as $$
begin
    raise exception
        'task % has no step "%"%',
        p_task_id,
        coalesce(left(p_step, 100), 'null'),
        coalesce(': ' || tasker.why_unmade(p_task_id, p_step), '')
        using errcode = 'TK032',
              hint = 'tasker.step_overview (tasker task show) lists its steps; '
                     'a task in pending has none yet.';
end
$$;
comment on function tasker.refuse_unknown_step(uuid, text) is
    'Raises TK032.';
