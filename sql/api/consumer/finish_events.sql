-- for: consumer
-- planner: jit = off
create function tasker.finish_events(
    p_namespace  text,
    p_done       bigint[],
    p_failed     jsonb default '[]'
)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '500ms'
as $$
declare
    v_queue    text := tasker.events_queue(p_namespace);
    v_failed   jsonb := coalesce(p_failed, '[]');
    v_dead     bigint[];
    v_errors   text[];
    v_seconds  int;
    v_msg_ids  bigint[];
    v_free     bigint[];
begin
    perform tasker.refuse_unknown_namespace(p_namespace);
    if jsonb_typeof(v_failed) <> 'array' or exists (
        select
        from jsonb_array_elements(
            case jsonb_typeof(v_failed) when 'array' then v_failed else '[]' end
        ) e(e)
        where jsonb_typeof(e.e -> 'msg_id') is distinct from 'number'
           or tasker.to_items(e.e -> 'msg_id') is null
           or jsonb_typeof(e.e -> 'delay_ms') not in ('number', 'null')
           or coalesce(jsonb_typeof(e.e -> 'dead'), 'null') not in ('null', 'boolean')
    ) then
        raise exception
            'p_failed must be a list of {"msg_id","delay_ms","error","dead"}; it is %',
            left(v_failed::text, 200)
            using errcode = 'TK051',
                hint = 'msg_id as read_events gave it; '
                    'delay_ms: when it is read again, in milliseconds (0); '
                    'error: what went wrong; '
                    'dead: true where it is not to be tried again (false).';
    end if;
    -- Where the queue was dropped, its events were dropped with it.
    if to_regclass(format('pgmq.%I', 'q_' || v_queue)) is null then
        return;
    end if;

    if cardinality(p_done) > 0 then
        perform pgmq.delete(v_queue, tasker.free_messages(v_queue, p_done));
    end if;
    if v_failed = '[]' then
        return;
    end if;

    select array_agg(f.msg_id), array_agg(f.error)
    into v_dead, v_errors
    from (
        select distinct on (1)
            tasker.to_items(e.e -> 'msg_id') as msg_id,
            coalesce(e.e ->> 'error', 'given up without an error') as error
        from jsonb_array_elements(v_failed) e(e)
        where e.e -> 'dead' = 'true'
        order by 1
    ) f;

    -- A message that somebody holds is left to be read again: this never waits.
    v_free := tasker.free_messages(
        v_queue,
        array(select tasker.to_items(e.e -> 'msg_id') from jsonb_array_elements(v_failed) e(e))
    );
    if v_dead is not null then
        -- set_vt locks the messages and answers with them; one that somebody else has finished is
        -- not there.
        perform tasker.dead_letter(v_queue, m.msg_id, m.message, f.error)
        from pgmq.set_vt(
            v_queue,
            array(select d from unnest(v_dead) d where d = any (v_free)),
            0
        ) m
        join unnest(v_dead, v_errors) f(msg_id, error) on f.msg_id = m.msg_id;
        perform pgmq.delete(
            v_queue,
            array(select d from unnest(v_dead) d where d = any (v_free))
        );
    end if;

    -- The others are read again, each after its delay.
    for v_seconds, v_msg_ids in
        select
            ceil(coalesce(tasker.to_count(e.e -> 'delay_ms'), 0) / 1000.0)::int,
            array_agg(
                tasker.to_items(e.e -> 'msg_id') order by tasker.to_items(e.e -> 'msg_id')
            )
        from jsonb_array_elements(v_failed) e(e)
        where e.e -> 'dead' is distinct from 'true'
          and tasker.to_items(e.e -> 'msg_id') = any (v_free)
        group by 1
        order by 1
    loop
        perform pgmq.set_vt(v_queue, v_msg_ids, v_seconds);
        if v_seconds = 0 then
            perform tasker.notify_queue(v_queue);
        end if;
    end loop;
end
$$;
comment on function tasker.finish_events(text, bigint[], jsonb) is
    'Says what came of events that were read: those done are deleted; '
    'one that failed is read again after its delay '
    '(in whole seconds, rounded up; at most eleven days) '
    'or, dead, becomes a dead letter with its error, which tasker.dlq_retry sends again. '
    'What somebody else has finished meanwhile is passed over. '
    'Errors: TK001 namespace, TK051 p_failed.';
