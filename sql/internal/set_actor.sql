create function tasker.set_actor(p_actor_id uuid, p_reason text default null) returns void
language sql volatile set search_path = '' as $$
    select pg_catalog.set_config('tasker.actor', coalesce(p_actor_id::text, ''), true),
           pg_catalog.set_config('tasker.reason', coalesce(p_reason, ''), true)
$$;
comment on function tasker.set_actor(uuid, text) is 'Says who acts in this transaction, and why, for the audit. Recorded, never checked.';
