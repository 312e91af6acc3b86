create view tasker.worker_overview as
select w.worker_id, w.namespaces, w.handlers, w.info ->> 'host' as host, (w.info ->> 'pid')::int as pid, w.info ->> 'version' as version,
       (w.info ->> 'concurrency')::int as concurrency, (w.info ->> 'in_flight')::int as in_flight, (w.info ->> 'push')::boolean as push,
       w.started_at, w.last_seen, w.last_seen > tasker.now() - interval '30 s' as alive
  from tasker.workers w;
comment on view tasker.worker_overview is 'Workers by their heartbeat. alive: heard of within 30 seconds.';
