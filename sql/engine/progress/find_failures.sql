create function tasker.find_failures(
    p_settled       tasker.settled_step[],
    out any_failed  boolean,
    out failing     uuid[],
    out task_ids    uuid[],
    out steps       text[],
    out reasons     text[],
    out details     text[]
)
language plpgsql stable as $$
begin
    select
        count(*) > 0,
        coalesce(array_agg(distinct s.task_id) filter (where v.on_failure = 'fail'), '{}'),
        array_agg(s.task_id) filter (where e.reason is not null),
        array_agg(s.step) filter (where e.reason is not null),
        array_agg(e.reason) filter (where e.reason is not null),
        array_agg(s.error ->> 'message') filter (where e.reason is not null)
    into any_failed, failing, task_ids, steps, reasons, details
    from unnest(p_settled) s
    join tasker.templates v on v.template_id = s.template_id
    cross join lateral (
        select
            case
                when (s.error ->> 'retryable')::boolean
                  or s.error ->> 'code' in ('lease_expired', 'worker_lost')
                    then 'max_retries_exceeded'
                when v.on_failure = 'block' then 'permanent_failure'
            end as reason
    ) e
    where s.state = 'error'
      and not s.satisfied;
end
$$;
comment on function tasker.find_failures(tasker.settled_step[]) is
    'any_failed: whether any of these steps has failed for good. '
    'failing: the tasks that fail with such a step (on_failure: fail). '
    'task_ids, steps: those that become dead letters: steps that ran out of attempts, '
    'and those that failed for good and block their task.';
