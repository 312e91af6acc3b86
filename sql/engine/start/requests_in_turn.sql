create function tasker.requests_in_turn(p_max int)
returns setof uuid
language plpgsql volatile as $$
declare
    v_now         timestamptz := tasker.clock();
    v_namespaces  text[];
begin
    -- One look into the index for each namespace that has any.
    with recursive held as (
        (select h.namespace from tasker.held_requests h order by h.namespace limit 1)
        union all
        select (
            select h.namespace
            from tasker.held_requests h
            where h.namespace > p.namespace
            order by h.namespace
            limit 1
        )
        from held p
        where p.namespace is not null
    )
    select array_agg(h.namespace)
    into v_namespaces
    from held h
    where h.namespace is not null;

    -- Each namespace has its share of p_max, at least one request.
    return query
        select i.task_id
        from unnest(v_namespaces) n(namespace)
        cross join lateral (
            select h.task_id, row_number() over () as turn
            from (
                select h.task_id
                from tasker.held_requests h
                where h.namespace = n.namespace
                  and h.next_at <= v_now
                order by h.held_no
                limit greatest(1, p_max / cardinality(v_namespaces))
                for update skip locked
            ) h
        ) i
        order by i.turn, n.namespace
        limit p_max;
end
$$;
comment on function tasker.requests_in_turn(int) is
    'Locks and returns held requests, one of each namespace after the other, oldest first.';
