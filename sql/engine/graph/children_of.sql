create function tasker.children_of(p_template_id uuid, p_step text)
returns table (child text)
-- Becomes part of the statement that calls it; offset 0 as in template_step.
language sql stable as $$
    select e.child
    from tasker.template_edges e
    where e.template_id = p_template_id
      and e.parent = p_step
    offset 0
$$;
comment on function tasker.children_of(uuid, text) is
    'The steps of a template that depend on a step.';
