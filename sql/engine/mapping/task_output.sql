create function tasker.task_output(p_task_id uuid, p_template_id uuid, p_wanted boolean)
returns table (result jsonb, errors jsonb)
-- Stable, in SQL, and without settings of its own, so that it becomes part of the statement that
-- calls it, and costs nothing where it is not wanted.
language sql stable as $$
    select made.result, made.errors
    from (select where p_wanted offset 0) wanted
    cross join lateral (
        select t.output
        from tasker.templates t
        where t.template_id = p_template_id
          and t.output is not null
        offset 0
    ) tmpl
    cross join lateral tasker.output_values(p_task_id, tmpl.output) made
$$;
comment on function tasker.task_output(uuid, uuid, boolean) is
    'The output of a task that ends, in one row. No row: its template has none, or p_wanted is '
    'false.';
