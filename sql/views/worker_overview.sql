create view tasker.worker_overview with (security_barrier) as
select w.worker_id,
       -- A limited caller sees of a worker that serves others too only that it serves its own.
       case when (select tasker.limits()) is null then w.namespaces
            else array(select n.n from unnest(w.namespaces) n(n) where n.n = any ((select tasker.limits())::text[])) end as namespaces,
       case when (select tasker.limits()) is null or w.namespaces <@ (select tasker.limits()) then w.handlers else '{}' end as handlers, w.info ->> 'host' as host, (w.info ->> 'pid')::int as pid, w.info ->> 'version' as version,
       (w.info ->> 'concurrency')::int as concurrency, (w.info ->> 'in_flight')::int as in_flight, (w.info ->> 'push')::boolean as push,
       w.started_at, w.last_seen, w.last_seen > tasker.now() - interval '30 s' as alive
  from tasker.workers w
 where (select tasker.limits()) is null or w.namespaces && (select tasker.limits());
comment on view tasker.worker_overview is 'Workers by their heartbeat. alive: heard of within 30 seconds.';
