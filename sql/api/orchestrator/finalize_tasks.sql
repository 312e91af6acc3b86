-- for: orchestrator
-- planner: plan_cache_mode = force_generic_plan, enable_seqscan = off, jit = off
create function tasker.finalize_tasks(p_max int, p_orchestrator_id uuid default null)
returns table (resent int)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '100ms'
as $$
declare
    v_now    timestamptz := tasker.clock();
    v_net    text;
    v_sent   int;
    v_error  text;
begin
    perform tasker.refuse_isolation();
    if tasker.limits() is not null then
        perform tasker.refuse_limited();
    end if;
    perform tasker.check_max(p_max);
    perform tasker.set_actor(p_orchestrator_id);
    resent := 0;
    perform tasker.mind_clock(p_max, v_now);

    -- Asking a queue for its oldest message counts its messages, so it is asked only when
    -- something stands still.
    if exists (
        select
        from tasker.tasks t
        where t.completed_at is null
          and t.updated_at < v_now - interval '1 minute'
          and (t.state = 'pending' or t.active > 0)
    ) then
        -- A net that fails does not keep the others from their work.
        foreach v_net in array array['resend_requests', 'resend_steps', 'resend_results'] loop
            begin
                execute format('select tasker.%I($1, $2)', v_net)
                into v_sent
                using p_max, v_now;
                resent := resent + v_sent;
            exception when others then
                if not tasker.may_divide(sqlstate, sqlerrm) then
                    raise;
                end if;
                v_error := format('%s: %s', v_net, sqlerrm);
            end;
        end loop;
        if resent = 0 and v_error is not null then
            raise exception 'the search for lost messages failed: %', v_error;
        end if;
    end if;

    return next;
end
$$;
comment on function tasker.finalize_tasks(int, uuid) is
    'The sweep for lost messages: tasks and steps whose message is gone get a new one. '
    'Bounded, and skips locked rows.';
