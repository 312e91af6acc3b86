-- for: operator, readonly
-- planner: enable_seqscan = off, enable_bitmapscan = off, jit = off
create function tasker.list_events(
    p_namespace  text,
    p_after      bigint default null,
    p_max        int default 100
)
returns table (
    msg_id       bigint,
    enqueued_at  timestamptz,
    read_ct      int,
    event        jsonb
)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_order  text := case when p_after is null then 'desc' else 'asc' end;
    v_parts  text;
begin
    perform tasker.check_max(p_max);
    perform tasker.refuse_unknown_namespace(p_namespace);

    -- The queue has the events that wait or are claimed, the archive those that consumers have
    -- archived: each is read by its primary key, however many events lie in the other.
    select string_agg(
        format(
            '(select m.msg_id, m.enqueued_at, m.read_ct, m.message '
            'from pgmq.%I m '
            'where $1 is null or m.msg_id > $1 '
            'order by m.msg_id %s '
            'limit $2)',
            t.name,
            v_order
        ),
        ' union all '
    )
    into v_parts
    from unnest(array['q_', 'a_']) k(kind)
    cross join lateral (
        select k.kind || tasker.events_queue(p_namespace) as name
    ) t
    where to_regclass(format('pgmq.%I', t.name)) is not null;

    -- No template of this namespace has durable events.
    if v_parts is null then
        return;
    end if;

    return query execute format(
        'select p.msg_id, p.enqueued_at, p.read_ct, p.event
           from (select v.*, row_number() over w as n, '
                        'sum(octet_length(v.event::text)) over w as bytes
                   from (select v.msg_id, v.enqueued_at, v.read_ct, '
                                'tasker.hide_large(v.message, $3 / 2) as event
                           from (%1$s) v order by v.msg_id %2$s limit $2) v
                 window w as (order by v.msg_id %2$s rows unbounded preceding)) p
          where p.n = 1 or p.bytes <= $3
          order by p.msg_id',
        v_parts,
        v_order
    ) using p_after, p_max, (select c.max_answer_bytes::bigint from tasker.settings c);
end
$$;
comment on function tasker.list_events(text, bigint, int) is
    'The domain events in a namespace''s queue and in its archive by msg_id: those after the '
    'message p_after, or the newest if it is null. At most p_max, and at most max_answer_bytes '
    '(tasker.settings) together as text. Consumes and hides nothing; events that a consumer has '
    'deleted are gone. Errors: TK001 no such namespace, TK008 p_max.';
