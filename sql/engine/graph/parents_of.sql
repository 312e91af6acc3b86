create function tasker.parents_of(p_template_id uuid, p_step text)
returns table (parent text, kind text)
-- Becomes part of the statement that calls it; offset 0 as in template_step.
language sql stable as $$
    select e.parent, e.kind
    from tasker.template_edges e
    where e.template_id = p_template_id
      and e.child = p_step
    offset 0
$$;
comment on function tasker.parents_of(uuid, text) is
    'The steps of a template that a step depends on, and how each must have ended.';
