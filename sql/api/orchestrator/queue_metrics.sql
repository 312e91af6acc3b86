-- for: orchestrator, operator, readonly
create function tasker.queue_metrics(p_queue text)
returns table (
    queue_name            text,
    queue_length          bigint,
    queue_visible_length  bigint,
    oldest_msg_age_sec    int,
    total_messages        bigint
)
language plpgsql volatile security definer rows 1
set search_path = pg_catalog, pg_temp
set lock_timeout = '100ms'
as $$
begin
    -- A queue that somebody has dropped must not hide all the others.
    if p_queue is null
       or to_regclass(format('pgmq.%I', 'q_' || p_queue)) is null
       or not tasker.may_see_entry(p_queue, null) then
        return;
    end if;

    -- pgmq's own types are kept out of our views, so that pgmq can be upgraded under them.
    return query
        select
            m.queue_name::text,
            m.queue_length,
            m.queue_visible_length,
            m.oldest_msg_age_sec,
            m.total_messages
        from pgmq.metrics(p_queue) m;
exception
    when undefined_table
      or undefined_column
      or undefined_function
      or insufficient_privilege
      or wrong_object_type
      or lock_not_available then
        -- Nor must a queue whose table is not a queue's any more, belongs to somebody else,
        -- or is locked (vacuum full, reindex).
        return;
end
$$;
comment on function tasker.queue_metrics(text) is
    'pgmq.metrics of one queue, for roles without rights in pgmq.';
