create function tasker.held_places(p_namespace text) returns table (place text)
-- Goes from one place to the next in the index, and does not read the steps held for each.
language sql stable as $$
    with recursive places as (
        (
            select h.place
            from tasker.held_steps h
            where h.namespace = p_namespace
            order by h.place
            limit 1
        )
        union all
        select n.place
        from places l
        cross join lateral (
            select h.place
            from tasker.held_steps h
            where h.namespace = p_namespace
              and h.place > l.place
            order by h.place
            limit 1
        ) n
    )
    select l.place
    from places l
$$;
comment on function tasker.held_places(text) is
    'The places where the held steps of a namespace will wait: in its queue (an empty name), or '
    'beside it with those of a handler.';
