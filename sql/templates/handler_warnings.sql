create function tasker.handler_warnings(p_definition jsonb)
returns table (path text, code text, message text)
language sql stable as $$
    select
        format('/steps/%s/handler', h.n - 1),
        'no_worker',
        format(
            '%s of namespace %s: steps like "%s" wait until one that has it starts',
            tasker.missing_worker(p_definition ->> 'namespace', h.handler),
            p_definition ->> 'namespace',
            h.name)
    from (
        select distinct on (2)
            e.n,
            concat_ws('.', e.s #>> '{handler,callable}', e.s #>> '{handler,method}') as handler,
            e.s ->> 'name' as name
        from jsonb_array_elements(p_definition -> 'steps') with ordinality e(s, n)
        order by 2, 1
    ) h
    -- Before its first worker starts, a namespace lacks every handler: that needs no warning.
    where exists (
        select
        from tasker.workers w
        where w.last_seen > tasker.clock() - interval '30 s'
          and p_definition ->> 'namespace' = any (w.namespaces)
    )
      and tasker.missing_worker(p_definition ->> 'namespace', h.handler) is not null
    order by h.n
$$;
comment on function tasker.handler_warnings(jsonb) is
    'The handlers of a valid template that no live worker has, '
    'in a namespace that has live workers.';
