create function tasker.find_cycle(
    p_count     int,
    p_parents   int[],
    p_children  int[]
)
returns int[]
language plpgsql immutable as $$
declare
    v_order  int[] := tasker.graph_order(p_count, p_parents, p_children);
    -- For each step without a place in the order: a parent that has no place either.
    v_up     int[];
    v_seen   boolean[] := array_fill(false, array[p_count]);
    v_path   int[];
    v_at     int;
begin
    if cardinality(v_order) = p_count then
        return null;
    end if;

    select
        array_agg(u.parent order by i.i),
        min(i.i) filter (where u.parent is not null)
    into v_up, v_at
    from generate_series(1, p_count) i(i)
    left join (
        select e.child, min(e.parent) as parent
        from unnest(p_parents, p_children) e(parent, child)
        left join unnest(v_order) p(p) on p.p = e.parent
        left join unnest(v_order) c(c) on c.c = e.child
        where p.p is null
          and c.c is null
        group by e.child
    ) u on u.child = i.i;

    -- Each of these steps has a parent among them: go up until one comes again.
    while not v_seen[v_at] loop
        v_seen[v_at] := true;
        v_path := v_at || v_path;
        v_at := v_up[v_at];
    end loop;
    return v_at || v_path[1:array_position(v_path, v_at)];
end
$$;
comment on function tasker.find_cycle(int, int[], int[]) is
    'The numbers of the steps of one cycle in the graph, first and last the same, or null '
    'without one.';
