create function tasker.graph_levels(p_steps jsonb)
returns table (
    n               bigint,
    level           int,
    initial         boolean,
    after_batch     boolean,
    decision_depth  int
)
language plpgsql immutable as $$
declare
    v_types     text[] := array(
        select coalesce(e.s ->> 'type', 'standard')
        from jsonb_array_elements(p_steps) with ordinality e(s, n)
        order by e.n
    );
    v_count     int := cardinality(v_types);
    v_parents   int[];
    v_children  int[];
    v_levels    int[] := array_fill(0, array[v_count]);
    v_initial   boolean[] := array(
        select not e.s ?| '{when,otherwise}'
        from jsonb_array_elements(p_steps) with ordinality e(s, n)
        order by e.n
    );
    v_chooses   boolean[] := array(
        select coalesce(e.s ->> 'type' = 'decision', false) or h.may_skip or h.handled
        from jsonb_array_elements(p_steps) with ordinality e(s, n)
        join tasker.step_ends(p_steps) h on h.n = e.n
        order by e.n
    );
    v_after     boolean[] := array_fill(false, array[v_count]);
    v_depths    int[] := array(
        select (t = 'decision')::int
        from unnest(v_types) with ordinality u(t, n)
        order by u.n
    );
    v_p         int;
    v_c         int;
begin
    select array_agg(e.parent), array_agg(e.child)
    into v_parents, v_children
    from tasker.graph_edges(p_steps) e;

    -- Sorted in memory in the order of the graph, so that the loop looks at each edge once.
    select array_agg(e.parent order by o.n), array_agg(e.child order by o.n)
    into v_parents, v_children
    from unnest(v_parents, v_children) e(parent, child)
    join unnest(tasker.graph_order(v_count, v_parents, v_children)) with ordinality o(step, n)
      on o.step = e.parent;

    -- A parent has its own values before its children look at it.
    for v_e in 1 .. coalesce(cardinality(v_parents), 0) loop
        v_p := v_parents[v_e];
        v_c := v_children[v_e];
        if v_levels[v_c] <= v_levels[v_p] then
            v_levels[v_c] := v_levels[v_p] + 1;
        end if;
        if v_depths[v_c] < v_depths[v_p] + (v_types[v_c] = 'decision')::int then
            v_depths[v_c] := v_depths[v_p] + (v_types[v_c] = 'decision')::int;
        end if;
        -- What depends on a choice, near or far, does not exist from the start.
        if v_initial[v_c]
           and (
               not v_initial[v_p]
               or v_chooses[v_p]
               or v_types[v_p] = 'batchable' and v_types[v_c] = 'batch_worker'
           )
        then
            v_initial[v_c] := false;
        end if;
        if v_types[v_p] = 'batch_worker' then
            v_after[v_c] := true;
        end if;
    end loop;

    return query
    select
        u.n,
        u.level,
        u.initial,
        u.after_batch,
        u.depth
    from unnest(v_levels, v_initial, v_after, v_depths)
        with ordinality u(level, initial, after_batch, depth, n);
end
$$;
comment on function tasker.graph_levels(jsonb) is
    'For each step of a valid template, by its place from 1, its columns of template_steps about '
    'the graph: level, initial, after_batch, decision_depth.';
