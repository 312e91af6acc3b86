create function tasker.pause_namespace(p_namespace text, p_reason text default null, p_by text default null) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set jit = off as $$
begin
    perform tasker.refuse_unknown_namespace(p_namespace);
    update tasker.namespaces n
       set paused_at = tasker.clock(), pause_reason = concat_ws(': ', 'paused by ' || coalesce(nullif(tasker.limited(p_by, 'p_by'), ''), session_user), nullif(tasker.limited(p_reason, 'p_reason'), ''))
     where n.namespace = p_namespace and n.paused_at is null;
    return found;
end
$$;
comment on function tasker.pause_namespace(text, text, text) is 'Sends no more steps to a namespace: what becomes ready there stays pending, its task in waiting_for_dependencies. Steps already in the queue are still run. Tasks can be enqueued as before. False: it was paused already. Error: TK001 no such namespace.';
