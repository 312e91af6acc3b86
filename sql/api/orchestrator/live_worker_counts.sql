-- for: orchestrator, operator, readonly
create function tasker.live_worker_counts()
returns table (namespace text, workers bigint)
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
    select n.namespace, count(w.worker_id)
    from tasker.namespaces n
    left join tasker.worker_overview w on w.alive and n.namespace = any (w.namespaces)
    where (
        (select tasker.limits()) is null
        or n.namespace = any ((select tasker.limits())::text[])
    )
    group by n.namespace
$$;
comment on function tasker.live_worker_counts() is
    'How many workers of each namespace sent a heartbeat within 30 seconds.';
