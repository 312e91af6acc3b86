create function tasker.set_actor(p_actor_id uuid, p_reason text default null)
returns void
-- plpgsql although it is one line: PostgreSQL plans a function in SQL again in every transaction
-- that calls it.
language plpgsql volatile as $$
declare
    -- Assigned, as an expression costs less than a statement.
    v_actor   text := pg_catalog.set_config('tasker.actor', coalesce(p_actor_id::text, ''), true);
    v_reason  text := pg_catalog.set_config('tasker.reason', coalesce(p_reason, ''), true);
begin
    null;
end
$$;
comment on function tasker.set_actor(uuid, text) is
    'Says who acts in this transaction, and why, for the audit. Recorded, never checked.';
