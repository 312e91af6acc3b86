create function tasker.documents_of_parents(
    p_task_id        uuid,
    p_template_id    uuid,
    p_template_step  text,
    p_wanted         boolean
)
returns table (results jsonb)
-- Stable, in SQL, and without settings of its own, so that it becomes part of the statement that
-- calls it.
language sql stable as $$
    select jsonb_object_agg(parent.name, parent.result)
    from (
        select e.parent
        from tasker.template_edges e
        where p_wanted
          and e.template_id = p_template_id
          and e.child = p_template_step
        offset 0
    ) edge
    join tasker.steps parent
      on parent.task_id = p_task_id
     and parent.name = edge.parent
     and parent.satisfied
$$;
comment on function tasker.documents_of_parents(uuid, uuid, text, boolean) is
    'The results of a step''s parents by name, in one row. Null: it has no parents, or p_wanted is '
    'false.';
