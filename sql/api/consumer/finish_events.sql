-- for: consumer
-- planner: jit = off
create function tasker.finish_events(
    p_namespace  text,
    p_done       bigint[],
    p_failed     jsonb default '[]'
)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '500ms'
as $$
declare
    v_queue   text := tasker.events_queue(p_namespace);
    v_failed  jsonb := coalesce(p_failed, '[]');
    v_free    bigint[];
begin
    perform tasker.refuse_unknown_namespace(p_namespace);
    perform tasker.check_failed_events(v_failed);
    -- Where the queue was dropped, its events were dropped with it.
    if to_regclass(format('pgmq.%I', 'q_' || v_queue)) is null then
        return;
    end if;

    -- A message that somebody holds is left to be read again: this never waits.
    if cardinality(p_done) > 0 then
        perform pgmq.delete(v_queue, tasker.free_messages(v_queue, p_done));
    end if;
    if v_failed <> '[]' then
        v_free := tasker.free_messages(
            v_queue,
            array(select tasker.to_items(e.e -> 'msg_id') from jsonb_array_elements(v_failed) e(e))
        );
        perform tasker.bury_failed_events(v_queue, v_failed, v_free);
        perform tasker.postpone_failed_events(v_queue, v_failed, v_free);
    end if;
end
$$;
comment on function tasker.finish_events(text, bigint[], jsonb) is
    'Reports the outcome of events that were read: finished ones are deleted; a failed one is read '
    'again after its delay (in whole seconds, rounded up; at most eleven days) or, dead, becomes a '
    'dead letter with its error, which tasker.retry_dead_letter sends again. '
    'Events that another reader has finished meanwhile are skipped. '
    'Errors: TK001 namespace, TK051 p_failed.';
