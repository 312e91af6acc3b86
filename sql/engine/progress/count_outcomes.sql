create function tasker.count_outcomes(
    p_settled        tasker.settled_step[],
    out retried      int,
    out failed       int,
    out expired      int,
    out next_due_ms  bigint
)
language plpgsql volatile as $$
begin
    select
        count(*) filter (where s.state = 'pending'),
        count(*) filter (where s.state = 'error'),
        count(*) filter (
            where s.state = 'error'
              and s.error ->> 'code' in ('lease_expired', 'worker_lost')
        ),
        tasker.ms_until(min(s.available_at))
    into retried, failed, expired, next_due_ms
    from unnest(p_settled) s;
end
$$;
comment on function tasker.count_outcomes(tasker.settled_step[]) is
    'How many of these steps wait for another attempt or have failed; expired: failed steps that '
    'lost too many claims; next_due_ms: until the first retry.';
