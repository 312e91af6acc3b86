-- for: consumer
-- planner: enable_seqscan = off, jit = off
create function tasker.read_events(
    p_namespace  text,
    p_max        int,
    p_visible    interval default '1 min'
)
returns table (msg_id bigint, read_ct int, event jsonb)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_queue    text := tasker.events_queue(p_namespace);
    v_visible  int := tasker.lease_seconds(p_visible);
begin
    perform tasker.check_max(p_max);
    perform tasker.refuse_unknown_namespace(p_namespace);
    if to_regclass(format('pgmq.%I', 'q_' || v_queue)) is null then
        raise exception 'no template of namespace "%" publishes durable events', p_namespace
            using errcode = 'TK050',
                hint = 'A template that declares one under publishes_events, with delivery durable '
                    'or broadcast, creates the queue. Until then there is nothing to read.';
    end if;

    return query
        select m.msg_id, m.read_ct::int, m.message
        from pgmq.read(v_queue, v_visible, p_max) m
        order by m.msg_id;
end
$$;
comment on function tasker.read_events(text, int, interval) is
    'Reads up to p_max events of a namespace and hides them from other readers for p_visible; '
    'events not finished by then are read again. read_ct: how often it has been read, this time '
    'included. Errors: TK001 namespace, TK007 p_visible, TK008 p_max, TK050 the namespace has no '
    'durable events.';
