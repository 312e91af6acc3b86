-- for: operator, readonly
-- planner: jit = off
create function tasker.missing_worker(p_namespace text, p_handler text) returns text
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select format('no live worker has the handler %s', p_handler)
    where (
            (select tasker.limits()) is null
            or p_namespace = any ((select tasker.limits())::text[])
        )
      and not exists (
            select from tasker.workers w
            where w.last_seen > tasker.clock() - interval '30 s'
              and p_namespace = any (w.namespaces)
              and tasker.has_handler(w.handlers, p_handler)
        )
$$;
comment on function tasker.missing_worker(text, text) is
    'Why steps with this handler wait, if no worker of the namespace with this handler sent a '
    'heartbeat within 30 seconds; else null.';
