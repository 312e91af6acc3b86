create function tasker.postpone_slow_result(
    p_result     tasker.slow_results,
    p_timed_out  boolean
)
returns void
language plpgsql volatile as $$
declare
    v_now  timestamptz := tasker.clock();
begin
    update tasker.slow_results r
    set tries = r.tries + p_timed_out::int,
        first_tried_at = case
            when p_timed_out then coalesce(r.first_tried_at, v_now)
            else r.first_tried_at
        end,
        next_at = v_now + case
            when p_timed_out
                then least(interval '10 minutes', interval '15 s' * 2 ^ least(r.tries, 10))
            else interval '2 s'
        end
    where r.task_id = p_result.task_id
      and r.step = p_result.step
      and r.claim_no = p_result.claim_no;
end
$$;
comment on function tasker.postpone_slow_result(tasker.slow_results, boolean) is
    'Postpones a result that was set aside: for a moment if its task is locked; p_timed_out: '
    'longer each time, and it counts as a try.';
