create function tasker.judge_edges(
    p_task_ids      uuid[],
    p_template_ids  uuid[],
    p_known         jsonb[],
    p_next          jsonb[],
    out added       jsonb[],
    out any_added   boolean,
    out any_ready   boolean
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
        from tasker.edges_of(p_task_ids, p_template_ids, p_known, p_next) e
        group by e.n, e.child, e.type, e.conditional
    ), decided as (
        select
            j.n,
            jsonb_object_agg(j.child, j.presence) as added,
            bool_or(j.presence = 'ready') as ready
        from judged j
        where j.presence <> 'undecided'
        group by j.n
    )
    select
        array_agg(coalesce(d.added, '{}') order by k.n),
        coalesce(bool_or(d.added is not null), false),
        coalesce(bool_or(d.ready), false)
    into added, any_added, any_ready
    from unnest(p_task_ids) with ordinality k(task_id, n)
    left join decided d on d.n = k.n;
end
$$;
comment on function tasker.judge_edges(uuid[], uuid[], jsonb[], jsonb[]) is
    'Which of the steps in p_next (for each task, their names) follow from the steps known so far: '
    'added: exists, not_chosen, or ready: its condition can be judged.';
