create function tasker.has_batch_ended(p_task_id uuid, p_template_id uuid, p_step text)
returns boolean
language plpgsql stable as $$
declare
    v_batch  record;
begin
    select s.decided
    into v_batch
    from tasker.parents_of(p_template_id, p_step) e
    join tasker.steps s
      on s.task_id = p_task_id
     and s.name = e.parent
     and s.satisfied;
    if not found then
        return false;
    elsif coalesce(v_batch.decided ->> 'worker_step', p_step) <> p_step then
        -- The cursors are for another one.
        return true;
    elsif v_batch.decided ? 'cursors' then
        -- Its instances are to be made now.
        return v_batch.decided -> 'cursors' = '[]';
    end if;

    -- The last of them mostly ends last: while it runs, the others need not be read.
    return not exists (
        select
        from tasker.steps s
        where s.task_id = p_task_id
          and s.name = tasker.instance_name(p_step, (v_batch.decided ->> 'instances')::int)
          and s.template_step = p_step
          and not s.satisfied
    ) and not exists (
        select
        from tasker.steps s
        where s.task_id = p_task_id
          and s.template_step = p_step
          and not s.satisfied
    );
end
$$;
comment on function tasker.has_batch_ended(uuid, uuid, text) is
    'Whether the instances of a batch_worker that exists have all ended well.';
