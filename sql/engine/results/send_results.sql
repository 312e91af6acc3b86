create function tasker.send_results(p_messages jsonb[]) returns void
language plpgsql volatile as $$
begin
    if p_messages is not null then
        perform pgmq.send_batch('orchestration_step_results', p_messages, null, clock_timestamp());
        perform tasker.notify_queue('orchestration_step_results');
    end if;
end
$$;
comment on function tasker.send_results(jsonb[]) is
    'Tells the orchestrators of stored results, as result_message has them; null: no results.';
