-- for: operator
-- planner: jit = off
create function tasker.resume_namespace(
    p_namespace  text,
    p_reason     text default null,
    p_by         text default null
)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform tasker.refuse_unknown_namespace(p_namespace);

    update tasker.namespaces n
    set paused_at = null,
        pause_reason = null
    where n.namespace = p_namespace
      and n.paused_at is not null;

    if found then
        perform tasker.log_operation('resume', p_namespace, p_by, p_reason);
        return true;
    end if;
    return false;
end
$$;
comment on function tasker.resume_namespace(text, text, text) is
    'Ends a pause: the sweep sends the held steps, by priority, within its poll interval. '
    'False: it was not paused. Errors: TK001 no such namespace, TK052 by or reason.';
