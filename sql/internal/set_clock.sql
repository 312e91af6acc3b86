create function tasker.set_clock(p_frozen_at timestamptz, p_offset interval default '0') returns void
language sql volatile security definer set search_path = '' as $$
    update tasker.settings set clock_frozen_at = p_frozen_at, clock_offset = p_offset;
$$;
comment on function tasker.set_clock(timestamptz, interval) is 'For tests: freezes the engine''s clock at p_frozen_at (null: it runs) and shifts it by p_offset. Leases are pgmq''s own and keep real time: expire one with pgmq.set_vt(queue, msg_id, 0).';
