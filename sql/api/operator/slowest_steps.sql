-- for: operator, readonly
-- planner: jit = off
create function tasker.slowest_steps(
    p_namespace  text default null,
    p_name       text default null,
    p_since      interval default '1 hour',
    p_max        int default 20,
    p_max_tasks  int default 10000
)
returns table (
    namespace    text,
    name         text,
    step         text,
    handler      text,
    runs         bigint,
    failed       bigint,
    retries      bigint,
    avg_ms       float8,
    p50_ms       float8,
    p95_ms       float8,
    max_ms       float8,
    avg_wait_ms  float8
)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform tasker.check_max(p_max);
    return query
        select
            t.namespace,
            t.name,
            s.template_step,
            min(p.handler),
            count(*) filter (where s.state = 'complete'),
            count(*) filter (where s.state = 'error'),
            coalesce(sum(greatest(s.attempt - 1, 0)), 0)::bigint,
            avg(s.duration_ms)::float8,
            percentile_cont(0.5) within group (order by s.duration_ms),
            percentile_cont(0.95) within group (order by s.duration_ms),
            max(s.duration_ms)::float8,
            avg(extract(epoch from s.started_at - s.enqueued_at) * 1000)::float8
        from tasker.sampled_tasks(p_namespace, p_name, p_since, p_max_tasks) t
        cross join lateral (
            select *
            from tasker.steps s
            where s.task_id = t.task_id
              and s.state in ('complete', 'error')
            offset 0
        ) s
        join tasker.template_steps p
          on p.template_id = t.template_id
         and p.name = s.template_step
        where s.duration_ms is not null
        group by t.namespace, t.name, s.template_step
        order by
            percentile_cont(0.95) within group (order by s.duration_ms) desc,
            t.namespace,
            t.name,
            s.template_step
        limit p_max;
end
$$;
comment on function tasker.slowest_steps(text, text, interval, int, int) is
    'Steps by the 95th percentile of their handlers'' durations, among the newest p_max_tasks '
    'tasks enqueued within p_since: complete and failed executions, retries, milliseconds; '
    'avg_wait_ms: time in the queue. Error: TK008.';
