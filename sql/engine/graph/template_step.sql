create function tasker.template_step(p_template_id uuid, p_name text)
returns setof tasker.template_steps
-- Becomes part of the statement that calls it. With offset 0 it is looked up by both columns of the
-- key, whatever the planner knew when the plan was made: a plan for a few templates would read the
-- whole index by name alone, and last [40 templates of 1,000 like-named steps: 2 s a claim].
language sql stable as $$
    select *
    from tasker.template_steps p
    where p.template_id = p_template_id
      and p.name = p_name
    offset 0
$$;
comment on function tasker.template_step(uuid, text) is 'A step of a template.';
