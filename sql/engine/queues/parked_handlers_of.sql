create function tasker.parked_handlers_of(p_namespace text)
returns table (handler text, first_no bigint)
-- Goes from one handler to the next in the index, and does not read the steps parked for each.
language sql stable as $$
    with recursive place as (
        (
            select p.handler, p.parked_no
            from tasker.parked_steps p
            where p.namespace = p_namespace
            order by p.handler, p.parked_no
            limit 1
        )
        union all
        select n.handler, n.parked_no
        from place l
        cross join lateral (
            select p.handler, p.parked_no
            from tasker.parked_steps p
            where p.namespace = p_namespace
              and p.handler > l.handler
            order by p.handler, p.parked_no
            limit 1
        ) n
    )
    select l.handler, l.parked_no
    from place l
$$;
comment on function tasker.parked_handlers_of(text) is
    'The handlers of the steps parked in a namespace, each with its first.';
