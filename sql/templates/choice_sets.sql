create function tasker.choice_sets(p_steps jsonb)
returns text[]
language plpgsql immutable as $$
declare
    v_first    record := tasker.choice_roots(p_steps);
    v_types    text[] := v_first.types;
    v_left     boolean[] := v_first.may_lack;
    v_count    int := cardinality(v_types);
    -- Whose set a step has: the first step with that set, or v_count + 1 for the empty set.
    v_owner    int[] := v_first.owners;
    v_sets     text[] := v_first.sets;
    v_step     record;
    v_differ   boolean;
    v_parent   int;
    v_members  bigint := 0;
    v_set      text;
begin
    for v_step in
        select
            o.step,
            array_agg(g.parent) as parents,
            array_agg(g.choice) filter (where g.choice is not null) as choices,
            v_left[o.step]
                or v_types[o.step] <> 'deferred'
                and bool_or(v_types[g.parent] = 'decision' and g.kind = 'complete') as chosen
        from unnest(tasker.graph_order(
            v_count,
            array(
                select e.parent
                from tasker.graph_edges(p_steps) e
                order by e.parent, e.child
            ),
            array(
                select e.child
                from tasker.graph_edges(p_steps) e
                order by e.parent, e.child
            )
        )) with ordinality o(step, n)
        join tasker.choice_edges(p_steps) g on g.child = o.step
        group by o.n, o.step
        order by o.n
    loop
        -- A step of its own choice, or one whose parents have different sets, has a set of its own.
        v_differ := false;
        foreach v_parent in array v_step.parents loop
            v_differ := v_differ
                or v_owner[v_parent] <> v_owner[v_step.parents[1]]
                and v_sets[v_owner[v_parent]] <> v_sets[v_owner[v_step.parents[1]]];
        end loop;
        if not v_step.chosen and v_step.choices is null and not v_differ then
            v_owner[v_step.step] := v_owner[v_step.parents[1]];
            continue;
        end if;

        v_owner[v_step.step] := v_step.step;
        if v_types[v_step.step] = 'deferred' then
            -- A deferred step stands for a condition of its own, whatever it waits for.
            v_sets[v_step.step] := array[v_step.step]::text;
        else
            select array_agg(distinct m.m order by m.m)::text, v_members + count(*)
            into v_set, v_members
            from (
                select unnest(v_sets[w.owner]::int[]) as m
                from (select distinct v_owner[p.p] as owner from unnest(v_step.parents) p(p)) w
                union all
                select v_step.step where v_step.chosen
                union all
                -- What follows one end of a step shares that choice.
                select unnest(v_step.choices)
            ) m;
            v_sets[v_step.step] := v_set;
        end if;
        if v_members > 1000000 then
            return null;
        end if;
    end loop;

    return array(
        select v_sets[o.owner]
        from unnest(v_owner) with ordinality o(owner, n)
        order by o.n
    );
end
$$;
comment on function tasker.choice_sets(jsonb) is
    'For each step of a valid template, the steps that some decision or condition must choose for '
    'it to exist, and the ends of others that it needs (negative), as the text of an array. Null: '
    'too many to tell.';
