create function tasker.bury_failed_events(
    p_queue   text,
    p_failed  jsonb,
    p_free    bigint[]
)
returns void
language plpgsql volatile as $$
declare
    v_dead    bigint[];
    v_errors  text[];
begin
    select array_agg(f.msg_id), array_agg(f.error)
    into v_dead, v_errors
    from (
        select distinct on (1)
            tasker.to_items(e.e -> 'msg_id') as msg_id,
            coalesce(e.e ->> 'error', 'given up without an error') as error
        from jsonb_array_elements(p_failed) e(e)
        where e.e -> 'dead' = 'true'
        order by 1
    ) f
    where f.msg_id = any (p_free);
    if v_dead is null then
        return;
    end if;

    -- set_vt locks the messages and answers with them; one that somebody else has finished is not
    -- there.
    perform tasker.keep_dead_letter(p_queue, m.msg_id, m.message, f.error)
    from pgmq.set_vt(p_queue, v_dead, 0) m
    join unnest(v_dead, v_errors) f(msg_id, error) on f.msg_id = m.msg_id;
    perform pgmq.delete(p_queue, v_dead);
end
$$;
comment on function tasker.bury_failed_events(text, jsonb, bigint[]) is
    'Makes dead letters of the events in p_failed that are dead and whose messages the caller has '
    'locked (p_free).';
