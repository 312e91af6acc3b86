create function tasker.judge_level(
    p_task_ids      uuid[],
    p_template_ids  uuid[],
    p_known         jsonb[],
    p_level         int,
    out known       jsonb[],
    out ready       boolean
)
language plpgsql stable as $$
begin
    with judged as (
        select
            e.n,
            e.child,
            case
                when e.type = 'deferred' then case
                    when bool_or(e.edge = 'unknown') then 'undecided'
                    when not bool_or(e.edge = 'live') then 'not_chosen'
                    when e.conditional then 'ready'
                    else 'exists'
                end
                when bool_or(e.edge = 'dead') then 'not_chosen'
                when bool_or(e.edge = 'unknown') then 'undecided'
                when e.conditional then 'ready'
                else 'exists'
            end as presence
        from tasker.edges_to_level(p_task_ids, p_template_ids, p_known, p_level) e
        group by e.n, e.child, e.type, e.conditional
    ), added as (
        select
            j.n,
            jsonb_object_agg(j.child, j.presence) as known,
            bool_or(j.presence = 'ready') as ready
        from judged j
        group by j.n
    )
    select array_agg(k.known || coalesce(a.known, '{}') order by k.n), bool_or(a.ready)
    into known, ready
    from unnest(p_known) with ordinality k(known, n)
    left join added a on a.n = k.n;
end
$$;
comment on function tasker.judge_level(uuid[], uuid[], jsonb[], int) is
    'Adds the steps of one level of each task''s template to its known steps; all lower levels '
    'must be known. ready: there are steps whose condition can be judged.';
