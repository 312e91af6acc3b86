create function tasker.postpone_failed_events(
    p_queue   text,
    p_failed  jsonb,
    p_free    bigint[]
)
returns void
language plpgsql volatile as $$
declare
    v_seconds  int;
    v_msg_ids  bigint[];
begin
    for v_seconds, v_msg_ids in
        select
            ceil(coalesce(tasker.to_count(e.e -> 'delay_ms'), 0) / 1000.0)::int,
            array_agg(
                tasker.to_items(e.e -> 'msg_id') order by tasker.to_items(e.e -> 'msg_id')
            )
        from jsonb_array_elements(p_failed) e(e)
        where e.e -> 'dead' is distinct from 'true'
          and tasker.to_items(e.e -> 'msg_id') = any (p_free)
        group by 1
        order by 1
    loop
        perform pgmq.set_vt(p_queue, v_msg_ids, v_seconds);
        if v_seconds = 0 then
            perform tasker.notify_queue(p_queue);
        end if;
    end loop;
end
$$;
comment on function tasker.postpone_failed_events(text, jsonb, bigint[]) is
    'Postpones the events in p_failed that are not dead and whose messages the caller has locked '
    '(p_free): each is read again after its delay.';
