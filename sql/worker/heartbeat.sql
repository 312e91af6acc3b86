create function tasker.heartbeat(p_worker_id uuid, p_namespaces text[], p_handlers text[], p_info jsonb default '{}') returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
    select tasker.refuse_list(to_jsonb(p_worker_id), 'what a heartbeat says') where p_worker_id is null or p_namespaces is null or p_handlers is null;
    select tasker.check_namespaces(p_namespaces);
    insert into tasker.workers as w (worker_id, namespaces, handlers, info, started_at, last_seen)
    values (p_worker_id, p_namespaces, p_handlers, coalesce(p_info, '{}'), tasker.clock(), tasker.clock())
    on conflict (worker_id) do update
       set namespaces = excluded.namespaces, handlers = excluded.handlers, info = excluded.info, last_seen = excluded.last_seen
     where (select tasker.limits()) is null or w.namespaces <@ (select tasker.limits());
    -- Whoever comes by removes those that ended without a word a day ago.
    delete from tasker.workers w where w.last_seen < tasker.clock() - interval '1 day';
$$;
comment on function tasker.heartbeat(uuid, text[], text[], jsonb) is 'Says that a worker is alive, what it serves (the handler * stands for any of its namespaces), and p_info: {"host","pid","version","concurrency","in_flight","push"}. Every ten seconds or so.';
