create function tasker.now() returns timestamptz
language plpgsql volatile security definer set search_path = '' as $$
-- Not a custom setting: any role could set that. The table belongs to the owner.
declare
    v_frozen timestamptz;
    v_offset interval;
begin
    select s.clock_frozen_at, s.clock_offset into v_frozen, v_offset from tasker.settings s;
    return coalesce(v_frozen, clock_timestamp()) + v_offset;
end
$$;
comment on function tasker.now() is 'The engine''s clock. Real time, unless a test has set it with tasker.set_clock.';
