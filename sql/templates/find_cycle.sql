create function tasker.find_cycle(p_parents text[], p_children text[]) returns text[]
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
    v_left   text[];
    v_next   text[] := array(select distinct c from unnest(p_children) c);
    v_path   text[];
    v_at     text;
begin
    -- Take away, level by level, what depends on nothing that is left: what stays is on a cycle or below one.
    loop
        v_left := v_next;
        select array_agg(distinct e.child) into v_next
          from unnest(p_parents, p_children) e(parent, child)
         where e.parent = any (v_left) and e.child = any (v_left);
        exit when v_next is null or cardinality(v_next) = cardinality(v_left);
    end loop;
    if v_next is null then
        return null;
    end if;
    -- Each of these has a parent among them: go up until one comes again.
    v_at := v_left[1];
    while v_at <> all (coalesce(v_path, '{}')) loop
        v_path := v_at || v_path;
        select e.parent into v_at from unnest(p_parents, p_children) e(parent, child)
         where e.child = v_at and e.parent = any (v_left) limit 1;
    end loop;
    return v_at || v_path[1:array_position(v_path, v_at)];
end
$$;
comment on function tasker.find_cycle(text[], text[]) is 'The steps of one cycle in the graph, first and last the same, or null where there is none.';
