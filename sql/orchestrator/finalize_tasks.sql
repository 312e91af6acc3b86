create function tasker.finalize_tasks(p_max int, p_orchestrator_id uuid default null) returns table (resent int)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off set jit = off as $$
declare
    v_now  timestamptz := tasker.clock();
begin
    perform tasker.check_max(p_max);
    perform tasker.set_actor(p_orchestrator_id);
    -- Asking a queue for its oldest message counts its messages, so it is asked only when something stands still.
    if not exists (select from tasker.tasks t where t.completed_at is null and t.updated_at < v_now - interval '1 minute'
                      and (t.state = 'pending' or t.active > 0)) then
        resent := 0;
        return next;
        return;
    end if;
    resent := tasker.resend_requests(p_max, v_now) + tasker.resend_steps(p_max, v_now) + tasker.resend_results(p_max, v_now);
    return next;
end
$$;
comment on function tasker.finalize_tasks(int, uuid) is 'The sweep for what no message announces. Now: tasks and steps whose message is gone get a new one. Bounded, and skips what is locked.';
