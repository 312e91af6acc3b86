-- for: worker
create function tasker.heartbeat(
    p_worker_id   uuid,
    p_namespaces  text[],
    p_handlers    text[],
    p_info        jsonb default '{}'
)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_now      timestamptz := tasker.clock();
    v_info     jsonb := coalesce(nullif(p_info, 'null'), '{}');
    v_before   text[];
    v_problem  text;
begin
    perform tasker.refuse_isolation();
    v_problem := case
        when p_worker_id is null
            then 'the worker''s id is null'
        when p_namespaces is null or p_handlers is null
            then 'the namespaces and handlers must be arrays of names, empty for none'
        when array_ndims(p_namespaces) > 1 or array_ndims(p_handlers) > 1
            then 'the namespaces and handlers must be plain arrays of names'
        when cardinality(p_namespaces) > 100
            then format('it has %s namespaces; the limit is 100', cardinality(p_namespaces))
        when cardinality(p_handlers) > 1000
            then format(
                'it has %s handlers; the limit is 1,000 (* stands for any)',
                cardinality(p_handlers))
        when exists (
            select
            from unnest(p_namespaces || p_handlers) n
            where n is null or length(n) > 300
        )
            then 'a name is null or has over 300 characters'
        when jsonb_typeof(v_info) <> 'object'
            then 'info must be a JSON object'
        when pg_column_size(v_info) > 8192 or octet_length(v_info::text) > 8192
            then 'info has over 8,192 bytes'
    end;
    if v_problem is not null then
        raise exception 'this heartbeat is refused: %', v_problem
            using errcode = 'TK014',
                hint = 'A worker serves up to 100 namespaces with up to 1,000 handlers, and '
                    'reports a few small facts about itself.';
    end if;
    perform tasker.check_namespaces(p_namespaces);

    select w.handlers into v_before from tasker.workers w where w.worker_id = p_worker_id;
    insert into tasker.workers as w (
        worker_id, namespaces, handlers, info, started_at, last_seen
    )
    values (p_worker_id, p_namespaces, p_handlers, v_info, v_now, v_now)
    on conflict (worker_id) do update
    set namespaces = excluded.namespaces,
        handlers = excluded.handlers,
        info = excluded.info,
        last_seen = excluded.last_seen
    where (select tasker.limits()) is null
       or w.namespaces <@ (select tasker.limits());

    -- Steps may have been parked for lack of a handler that this worker now has.
    if v_before is distinct from p_handlers then
        perform tasker.notify_queue(tasker.worker_queue(n.namespace))
        from (
            select distinct u.namespace
            from unnest(p_namespaces) u(namespace)
            where exists (
                select
                from tasker.parked_steps p
                where p.namespace = u.namespace
            )
        ) n;
    end if;

    -- Every heartbeat removes the workers that ended without a word a day ago.
    delete from tasker.workers w where w.last_seen < v_now - interval '1 day';
end
$$;
comment on function tasker.heartbeat(uuid, text[], text[], jsonb) is
    'Says that a worker is alive, the namespaces and handlers that it serves (* stands for any '
    'handler except those named with a leading !), and p_info: '
    '{"host","pid","version","concurrency","in_flight","push"}. '
    'Call it about every ten seconds. Error: TK014 too large, or not names.';
