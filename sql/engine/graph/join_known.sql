create function tasker.join_known(p_known jsonb[], p_added jsonb[]) returns jsonb[]
language sql immutable as $$
    select array_agg(k.known || k.added order by k.n)
    from unnest(p_known, p_added) with ordinality k(known, added, n)
$$;
comment on function tasker.join_known(jsonb[], jsonb[]) is
    'What is known of the steps of each task, with what was added.';
