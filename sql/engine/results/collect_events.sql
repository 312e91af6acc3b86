create function tasker.collect_events(
    p_results     jsonb,
    p_accepted    int[],
    out task_ids  uuid[],
    out steps     text[],
    out events    jsonb[],
    out ids       uuid[]
)
language plpgsql stable as $$
begin
    -- Into arrays, so that each value is taken out of the JSON once.
    select
        array_agg((r.result ->> 'task_id')::uuid order by r.n, e.m),
        array_agg(r.result ->> 'step' order by r.n, e.m),
        array_agg(e.event order by r.n, e.m),
        tasker.to_uuids(array_agg(e.event ->> 'id' order by r.n, e.m))
    into task_ids, steps, events, ids
    from (
        select r.n, r.result, nullif(r.result -> 'events', 'null') as events
        from (
            select i.n, p_results -> (i.n - 1) as result
            from unnest(p_accepted) i(n)
            offset 0
        ) r
        offset 0
    ) r
    cross join lateral jsonb_array_elements(
        case jsonb_typeof(r.events)
            when 'array' then r.events
            else jsonb_build_array(r.events)
        end
    ) with ordinality e(event, m)
    where r.events is not null;
end
$$;
comment on function tasker.collect_events(jsonb, int[]) is
    'The events of accepted results (numbers from 1), in their order. '
    'ids: null for an event without an id of its own.';
