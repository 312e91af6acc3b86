create function tasker.judge_level(
    p_task_ids      uuid[],
    p_template_ids  uuid[],
    p_known         jsonb[],
    p_level         int
)
returns jsonb[]
language plpgsql stable as $$
declare
    v_known  jsonb[];
begin
    with judged as (
        select
            e.n,
            e.child,
            case
                when e.type = 'deferred' then case
                    when bool_or(e.edge = 'unknown') then 'undecided'
                    when bool_or(e.edge = 'live') then 'exists'
                    else 'not_chosen'
                end
                when bool_or(e.edge = 'dead') then 'not_chosen'
                when bool_or(e.edge = 'unknown') then 'undecided'
                else 'exists'
            end as presence
        from tasker.edges_to_level(p_task_ids, p_template_ids, p_known, p_level) e
        group by e.n, e.child, e.type
    ), added as (
        select j.n, jsonb_object_agg(j.child, j.presence) as known
        from judged j
        group by j.n
    )
    select array_agg(k.known || coalesce(a.known, '{}') order by k.n)
    into v_known
    from unnest(p_known) with ordinality k(known, n)
    left join added a on a.n = k.n;
    return v_known;
end
$$;
comment on function tasker.judge_level(uuid[], uuid[], jsonb[], int) is
    'Adds the steps of one level of each task''s template to its known steps; all lower levels '
    'must be known.';
