create view tasker.worker_overview with (security_barrier) as
select
    w.worker_id,
    -- A limited caller sees only its own namespaces of a worker that also serves others.
    array(
        select n.n
        from unnest(w.namespaces) n(n)
        where n.n is not null
          and ((select tasker.limits()) is null
              or n.n = any ((select tasker.limits())::text[]))
    ) as namespaces,
    case
        when (select tasker.limits()) is null
          or w.namespaces <@ (select tasker.limits()) then
            array(
                select h
                from unnest(w.handlers) h
                where h is not null
            )
        else '{}'
    end as handlers,
    w.info ->> 'host' as host,
    -- A worker may say anything of itself: a value that is not a number is shown as unknown.
    case
        when w.info ->> 'pid' ~ '^[0-9]{1,9}$' then (w.info ->> 'pid')::int
    end as pid,
    w.info ->> 'version' as version,
    case
        when w.info ->> 'concurrency' ~ '^[0-9]{1,9}$' then (w.info ->> 'concurrency')::int
    end as concurrency,
    case
        when w.info ->> 'in_flight' ~ '^[0-9]{1,9}$' then (w.info ->> 'in_flight')::int
    end as in_flight,
    case
        when w.info ->> 'push' in ('true', 'false') then (w.info ->> 'push')::boolean
    end as push,
    w.started_at,
    w.last_seen,
    w.last_seen > tasker.now() - interval '30 s' as alive
from tasker.workers w
where (select tasker.limits()) is null
   or w.namespaces && (select tasker.limits());
comment on view tasker.worker_overview is
    'Workers by their heartbeat. alive: it sent a heartbeat within 30 seconds.';
