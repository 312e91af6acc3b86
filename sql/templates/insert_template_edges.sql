create function tasker.insert_template_edges(p_template_id uuid, p_steps jsonb) returns void
language plpgsql volatile as $$
begin
    insert into tasker.template_edges (template_id, parent, child, kind)
    select p_template_id, d.dependency #>> '{}', c.s ->> 'name', d.kind
    from tasker.template_dependencies(p_steps) d
    join jsonb_array_elements(p_steps) with ordinality c(s, n) on c.n = d.step_n;
end
$$;
comment on function tasker.insert_template_edges(uuid, jsonb) is
    'Writes which step of a valid template depends on which.';
