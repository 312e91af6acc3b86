create function tasker.next_steps(
    p_template_ids  uuid[],
    p_known         jsonb[],
    p_added         jsonb[]
)
returns jsonb[]
language plpgsql stable as $$
begin
    return array(
        select coalesce(
            (
                select jsonb_agg(distinct c.child)
                from jsonb_object_keys(k.added) a(step)
                cross join lateral tasker.children_of(k.template_id, a.step) c
                where not k.known ? c.child
            ),
            '[]')
        from unnest(p_template_ids, p_known, p_added)
            with ordinality k(template_id, known, added, n)
        order by k.n
    );
end
$$;
comment on function tasker.next_steps(uuid[], jsonb[], jsonb[]) is
    'For each task, the names of the steps that depend on the added ones and are not known.';
