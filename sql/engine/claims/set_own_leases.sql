create function tasker.set_own_leases(
    p_queue    text,
    p_msg_ids  bigint[],
    p_leases   interval[]
)
returns void
language plpgsql volatile as $$
declare
    v_lease    int;
    v_msg_ids  bigint[];
begin
    if cardinality(array_remove(p_leases, null)) > 0 then
        for v_lease, v_msg_ids in
            select tasker.lease_seconds(l.lease), array_agg(l.msg_id order by l.msg_id)
            from unnest(p_msg_ids, p_leases) l(msg_id, lease)
            where l.lease is not null
            group by l.lease
        loop
            perform pgmq.set_vt(p_queue, v_msg_ids, v_lease);
        end loop;
    end if;
end
$$;
comment on function tasker.set_own_leases(text, bigint[], interval[]) is
    'Holds messages for their steps'' own leases. Null: the step has no lease of its own.';
