create function tasker.graph_order(
    p_count     int,
    p_parents   int[],
    p_children  int[]
)
returns int[]
language plpgsql immutable as $$
declare
    v_kids    int[] := array(
        select e.child
        from unnest(p_parents, p_children) e(parent, child)
        order by e.parent
    );
    -- For each step: how many entries of v_kids stand before its own.
    v_before  int[];
    -- For each step: how many of its parents have no place yet.
    v_waits   int[];
    v_order   int[];
    v_known   int;
    v_at      int := 1;
    v_kid     int;
begin
    select
        array_agg(i.before order by i.i),
        array_agg(i.waits order by i.i),
        array_agg(i.i order by i.i) filter (where i.waits = 0)
    into v_before, v_waits, v_order
    from (
        select
            i.i,
            coalesce(w.n, 0) as waits,
            coalesce(
                sum(k.n) over (
                    order by i.i
                    rows between unbounded preceding and 1 preceding
                ),
                0
            )::int as before
        from generate_series(1, p_count) i(i)
        left join (
            select p.p, count(*)::int as n
            from unnest(p_parents) p(p)
            group by p.p
        ) k on k.p = i.i
        left join (
            select c.c, count(*)::int as n
            from unnest(p_children) c(c)
            group by c.c
        ) w on w.c = i.i
    ) i;
    v_before[p_count + 1] := cardinality(v_kids);
    v_known := coalesce(cardinality(v_order), 0);

    -- A step gets its place when the last of its parents has one.
    while v_at <= v_known loop
        for v_e in v_before[v_order[v_at]] + 1 .. v_before[v_order[v_at] + 1] loop
            v_kid := v_kids[v_e];
            v_waits[v_kid] := v_waits[v_kid] - 1;
            if v_waits[v_kid] = 0 then
                v_known := v_known + 1;
                v_order[v_known] := v_kid;
            end if;
        end loop;
        v_at := v_at + 1;
    end loop;
    return coalesce(v_order, '{}');
end
$$;
comment on function tasker.graph_order(int, int[], int[]) is
    'The numbers of a graph''s steps, parents before children, in time linear in its edges. '
    'Those on a cycle, or below one, are missing.';
