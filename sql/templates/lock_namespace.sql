create function tasker.lock_namespace(p_namespace text) returns void
language plpgsql volatile as $$
begin
    -- A lock on its row lets one caller at a time apply in a namespace:
    -- an advisory lock, which anybody can take, would let anybody stop this.
    insert into tasker.namespaces (namespace, created_at)
    values (p_namespace, tasker.clock())
    on conflict do nothing;
    perform from tasker.namespaces n where n.namespace = p_namespace for no key update;
end
$$;
comment on function tasker.lock_namespace(text) is
    'Creates a namespace if it is new, and locks it until the end of the transaction.';
