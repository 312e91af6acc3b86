create function tasker.check_cycle(p_steps jsonb, p_names text[])
returns table (path text, code text, message text)
language plpgsql stable as $$
declare
    v_parents   int[];
    v_children  int[];
    v_cycle     int[];
begin
    select array_agg(e.parent), array_agg(e.child)
    into v_parents, v_children
    from tasker.graph_edges(p_steps) e;
    v_cycle := tasker.find_cycle(coalesce(cardinality(p_names), 0), v_parents, v_children);
    if v_cycle is not null then
        return query
        select
            format('/steps/%s/dependencies', v_cycle[2] - 1),
            'cycle',
            'cycle: ' || string_agg(left(p_names[c.c], 100), ' -> ' order by c.n) || case
                when cardinality(v_cycle) > 50
                    then format(' -> ... (%s steps)', cardinality(v_cycle) - 1)
                else ''
            end
        from unnest(v_cycle[1:50]) with ordinality c(c, n);
    end if;
end
$$;
comment on function tasker.check_cycle(jsonb, text[]) is
    'One cycle in the graph of a template, if any. p_names: the names of the steps.';
