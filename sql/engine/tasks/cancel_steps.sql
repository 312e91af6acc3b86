create function tasker.cancel_steps(p_task_ids uuid[]) returns void
language plpgsql volatile as $$
begin
    -- Steps that somebody holds are skipped, since a handler's own transaction may hold its step
    -- for long. Such a step is cancelled when it is claimed or when its result comes, since its
    -- task has finished.
    with free as materialized (
        select s.task_id, s.name
        from tasker.steps s
        where s.task_id = any (p_task_ids)
          and s.state in ('pending', 'enqueued', 'in_progress', 'enqueued_for_orchestration')
        order by s.task_id, s.name
        for no key update skip locked
    )
    update tasker.steps s
    set state = 'cancelled',
        available_at = null,
        updated_at = tasker.clock(),
        completed_at = tasker.clock()
    from free f
    where s.task_id = f.task_id
      and s.name = f.name;
end
$$;
comment on function tasker.cancel_steps(uuid[]) is
    'Cancels the unfinished steps of tasks whose rows the caller has locked '
    'and finishes in the same transaction.';
