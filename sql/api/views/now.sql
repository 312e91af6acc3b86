-- for: orchestrator, operator, readonly
create function tasker.now() returns timestamptz
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return tasker.clock();
end
$$;
comment on function tasker.now() is
    'The engine''s clock, for everyone. Real time, unless a test has called tasker.set_clock.';
