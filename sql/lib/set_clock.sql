create function tasker.set_clock(p_frozen_at timestamptz, p_offset interval default '0')
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    -- Another function is put in place, which only the schema's owner can do. Any role could set
    -- a custom setting, and every call would have to read a table.
    perform from tasker.schema_info i for update;
    execute format(
        'create or replace function tasker.clock() returns timestamptz '
        'language sql volatile as %L',
        format(
            'select %s + %L::interval',
            coalesce(quote_literal(p_frozen_at) || '::timestamptz', 'clock_timestamp()'),
            p_offset
        )
    );
end
$$;
comment on function tasker.set_clock(timestamptz, interval) is
    'For tests: freezes the engine''s clock at p_frozen_at (null: it runs) and shifts it by '
    'p_offset. Leases are pgmq''s own and keep real time: '
    'expire one with pgmq.set_vt(queue, msg_id, 0).';
