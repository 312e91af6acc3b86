-- for: operator
-- planner: jit = off
create function tasker.pause_namespace(
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
    set paused_at = tasker.clock(),
        pause_reason = tasker.audit_reason('paused', p_by, p_reason)
    where n.namespace = p_namespace
      and n.paused_at is null;

    if found then
        perform tasker.log_operation('pause', p_namespace, p_by, p_reason);
        return true;
    end if;

    -- A reason given later is kept, too.
    if nullif(p_reason, '') is not null then
        update tasker.namespaces n
        set pause_reason = tasker.audit_reason('paused', p_by, p_reason)
        where n.namespace = p_namespace;

        perform tasker.log_operation('pause', p_namespace, p_by, p_reason);
    end if;
    return false;
end
$$;
comment on function tasker.pause_namespace(text, text, text) is
    'Sends no more steps to a namespace: steps that become ready there stay pending, and their '
    'tasks wait in waiting_for_dependencies. Steps already in the queue are still run. '
    'Tasks can be enqueued as before. False: it was paused already; a reason replaces the earlier '
    'one. Errors: TK001 no such namespace, TK052 by or reason.';
