-- for: worker
create function tasker.remove_worker(p_worker_id uuid)
returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
    select tasker.refuse_isolation();
    -- A row that somebody holds ages like that of a worker that ended without a word.
    delete from tasker.workers w
    where w.worker_id in (
        select h.worker_id
        from tasker.workers h
        where h.worker_id = p_worker_id
        for update skip locked
    )
      and (
          (select tasker.limits()) is null
          or w.namespaces <@ (select tasker.limits())
      )
$$;
comment on function tasker.remove_worker(uuid) is
    'Removes a worker from the list when it stops in order.';
