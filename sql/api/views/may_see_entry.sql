-- for: orchestrator, operator, readonly
create function tasker.may_see_entry(p_queue text, p_task_id uuid) returns boolean
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_limits  text[] := tasker.limits();
begin
    return case
        when v_limits is null then true
        -- A message belongs to who has its queue, whatever task it names.
        when p_queue is not null then exists (
            select from unnest(v_limits) n
            where p_queue in (tasker.worker_queue(n), tasker.events_queue(n))
        )
        else exists (
            select from tasker.tasks t
            where t.task_id = p_task_id
              and t.namespace = any (v_limits)
        )
    end;
end
$$;
comment on function tasker.may_see_entry(text, uuid) is
    'Whether the caller may see a dead letter of this queue or, without one, of this task.';
