create function tasker.has_queue(p_queue text) returns boolean
-- In plpgsql, since PostgreSQL plans a function in SQL again in every transaction that calls it.
language plpgsql stable as $$
begin
    return to_regclass('pgmq.q_' || p_queue) is not null;
end
$$;
comment on function tasker.has_queue(text) is
    'Whether a queue exists. A dropped queue must not stop the work for the others.';
