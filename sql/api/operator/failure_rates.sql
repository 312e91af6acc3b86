-- for: operator, readonly
-- planner: jit = off
create function tasker.failure_rates(
    p_namespace  text default null,
    p_name       text default null,
    p_since      interval default '1 hour',
    p_max        int default 100,
    p_max_tasks  int default 10000
)
returns table (
    namespace     text,
    name          text,
    version       text,
    tasks         bigint,
    complete      bigint,
    failed        bigint,
    blocked       bigint,
    cancelled     bigint,
    unfinished    bigint,
    failure_rate  float8
)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform tasker.check_max(p_max);
    return query
        select
            c.namespace,
            c.name,
            v.version,
            c.tasks,
            c.complete,
            c.failed,
            c.blocked,
            c.cancelled,
            c.tasks - c.complete - c.failed - c.blocked - c.cancelled,
            coalesce(
                (c.failed + c.blocked)::float8 / nullif(c.complete + c.failed + c.blocked, 0),
                0
            )
        from (
            select
                t.template_id,
                t.namespace,
                t.name,
                count(*) as tasks,
                count(*) filter (where t.state in ('complete', 'resolved_manually')) as complete,
                count(*) filter (where t.state = 'error') as failed,
                count(*) filter (where t.state = 'blocked_by_failures') as blocked,
                count(*) filter (where t.state = 'cancelled') as cancelled
            from tasker.sampled_tasks(p_namespace, p_name, p_since, p_max_tasks) t
            group by t.template_id, t.namespace, t.name
        ) c
        join tasker.templates v on v.template_id = c.template_id
        order by
            10 desc,
            c.tasks desc,
            c.namespace,
            c.name,
            v.version
        limit p_max;
end
$$;
comment on function tasker.failure_rates(text, text, interval, int, int) is
    'Templates by the share of their settled tasks that failed, among the newest p_max_tasks tasks '
    'enqueued within p_since. failed: in error; blocked: blocked_by_failures; failure_rate: '
    '(failed + blocked) / (failed + blocked + complete), from 0 to 1. '
    'Error: TK008.';
