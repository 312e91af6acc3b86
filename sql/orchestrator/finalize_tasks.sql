create function tasker.finalize_tasks(p_max int, p_orchestrator_id uuid default null) returns table (resent int)
language plpgsql volatile security definer set search_path = '' set plan_cache_mode = force_generic_plan set jit = off as $$
declare
    v_now  timestamptz := tasker.now();
begin
    perform tasker.check_max(p_max);
    perform tasker.set_actor(p_orchestrator_id);
    resent := tasker.resend_requests(p_max, v_now) + tasker.resend_steps(p_max, v_now) + tasker.resend_results(p_max, v_now);
    return next;
end
$$;
comment on function tasker.finalize_tasks(int, uuid) is 'The sweep for what no message announces. Now: tasks and steps whose message is gone get a new one. Bounded, and skips what is locked.';
