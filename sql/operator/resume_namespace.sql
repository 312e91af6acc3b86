create function tasker.resume_namespace(p_namespace text) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set jit = off as $$
begin
    perform tasker.refuse_unknown_namespace(p_namespace);
    update tasker.namespaces n set paused_at = null, pause_reason = null where n.namespace = p_namespace and n.paused_at is not null;
    return found;
end
$$;
comment on function tasker.resume_namespace(text) is 'Ends a pause: the sweep sends what was held, by priority, within its poll interval. False: it was not paused. Error: TK001 no such namespace.';
