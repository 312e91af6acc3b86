create function tasker.refuse_unknown_task(p_task_id uuid)
returns void
language plpgsql stable as $$
begin
    raise exception 'there is no task %', coalesce(p_task_id::text, 'null')
        using errcode = 'TK004',
              hint = 'tasker.enqueue_task returns the id; tasker.task_overview lists all tasks. '
                     'A rolled-back enqueue leaves no task.';
end
$$;
comment on function tasker.refuse_unknown_task(uuid) is
    'Raises TK004.';
