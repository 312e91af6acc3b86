create function tasker.send_event_messages(p_namespace text, p_messages jsonb[])
returns text
language plpgsql volatile as $$
begin
    perform pgmq.send_batch(
        tasker.events_queue(p_namespace), p_messages, null, clock_timestamp());
    perform tasker.notify_queue(tasker.events_queue(p_namespace));
    return null;
exception when others then
    -- The results are accepted in any case: damage to the queue is no step's fault.
    if tasker.is_passing_error(sqlstate) then
        raise;
    end if;
    return case
        when sqlstate = '42P01'
            then 'its queue no longer exists: apply a template of the namespace again'
        else 'its queue did not take it: ' || sqlerrm
    end;
end
$$;
comment on function tasker.send_event_messages(text, jsonb[]) is
    'Sends events to the queue of their namespace. '
    'Returns why the queue did not take them, or null.';
