create function tasker.graph_levels(p_steps jsonb) returns table (n bigint, level int, initial boolean, after_batch boolean, decision_depth int)
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
    v_types    text[] := array(select coalesce(e.s ->> 'type', 'standard') from jsonb_array_elements(p_steps) with ordinality e(s, n) order by e.n);
    v_parents  int[];
    v_children int[];
    v_levels   int[] := array_fill(0, array[cardinality(v_types)]);
    v_initial  boolean[] := array_fill(true, array[cardinality(v_types)]);
    v_after    boolean[] := array_fill(false, array[cardinality(v_types)]);
    v_depths   int[] := array(select (t = 'decision')::int from unnest(v_types) with ordinality u(t, n) order by u.n);
    v_changed  boolean;
    v_p        int;
    v_c        int;
begin
    -- In memory, and each row written once afterwards: updates level by level rewrote every row below, and planned badly.
    select array_agg(p.n order by d.step_n, d.n), array_agg(d.step_n order by d.step_n, d.n) into v_parents, v_children
      from tasker.template_dependencies(p_steps) d
      join jsonb_array_elements(p_steps) with ordinality p(s, n) on p.s ->> 'name' = d.dependency #>> '{}';
    -- Until nothing changes: twice, where steps stand in the order of their dependencies.
    loop
        v_changed := false;
        for v_e in 1 .. coalesce(cardinality(v_parents), 0) loop
            v_p := v_parents[v_e];
            v_c := v_children[v_e];
            if v_levels[v_c] <= v_levels[v_p] then
                v_levels[v_c] := v_levels[v_p] + 1;
                v_changed := true;
            end if;
            if v_depths[v_c] < v_depths[v_p] + (v_types[v_c] = 'decision')::int then
                v_depths[v_c] := v_depths[v_p] + (v_types[v_c] = 'decision')::int;
                v_changed := true;
            end if;
            -- What depends on a choice, near or far, does not exist from the start.
            if v_initial[v_c] and (not v_initial[v_p] or v_types[v_p] = 'decision' or v_types[v_p] = 'batchable' and v_types[v_c] = 'batch_worker') then
                v_initial[v_c] := false;
                v_changed := true;
            end if;
            if v_types[v_p] = 'batch_worker' then
                v_after[v_c] := true;
            end if;
        end loop;
        exit when not v_changed;
    end loop;
    return query select u.n, u.level, u.initial, u.after_batch, u.depth from unnest(v_levels, v_initial, v_after, v_depths) with ordinality u(level, initial, after_batch, depth, n);
end
$$;
comment on function tasker.graph_levels(jsonb) is 'Of each step of a valid template, by its place from 1, what template_steps says of its place in the graph: level, initial, after_batch, decision_depth.';
