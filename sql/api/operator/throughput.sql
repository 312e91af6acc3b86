-- for: operator, readonly
-- planner: jit = off
create function tasker.throughput(
    p_namespace  text default null,
    p_name       text default null,
    p_since      interval default '1 hour',
    p_bucket     interval default '1 minute',
    p_max_tasks  int default 10000
)
returns table (
    at         timestamptz,
    enqueued   bigint,
    complete   bigint,
    failed     bigint,
    cancelled  bigint,
    avg_ms     float8
)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if p_bucket is null
       or p_bucket < interval '1 second'
       or p_bucket > interval '36500 days'
       or extract(month from p_bucket) <> 0
       or extract(year from p_bucket) <> 0 then
        raise exception
            'p_bucket must be a second or more, at most 36500 days, and not in months; it is %',
            coalesce(p_bucket::text, 'null')
            using errcode = 'TK008',
                  hint = 'Give the length of a bucket, such as ''1 minute''.';
    end if;

    return query
        select
            date_bin(p_bucket, e.at, '2000-01-01 00:00:00+00') as bucket,
            count(*) filter (where e.kind = 'enqueued'),
            count(*) filter (where e.kind in ('complete', 'resolved_manually')),
            count(*) filter (where e.kind = 'error'),
            count(*) filter (where e.kind = 'cancelled'),
            avg(e.ms) filter (where e.kind = 'complete')
        from tasker.sampled_tasks(p_namespace, p_name, p_since, p_max_tasks) t
        cross join lateral (
            values
                ('enqueued', t.created_at, null),
                (
                    t.state::text,
                    t.completed_at,
                    (extract(epoch from t.completed_at - t.created_at) * 1000)::float8
                )
        ) e(kind, at, ms)
        where e.at is not null
        group by bucket
        order by bucket;
end
$$;
comment on function tasker.throughput(text, text, interval, interval, int) is
    'Tasks enqueued and ended in each p_bucket of time, among the newest p_max_tasks tasks '
    'enqueued within p_since; complete: includes those resolved by hand; avg_ms: from enqueueing '
    'to completion. Empty buckets are left out. Error: TK008.';
