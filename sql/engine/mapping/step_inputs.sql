create function tasker.step_inputs(
    p_task_id      uuid,
    p_template_id  uuid,
    p_step         text,
    p_wanted       boolean
)
returns table (inputs jsonb, error jsonb)
-- Stable, in SQL, and without settings of its own, so that it becomes part of the statement that
-- calls it, and costs nothing where it is not wanted.
language sql stable as $$
    select made.value, made.error
    from (select where p_wanted offset 0) wanted
    cross join lateral tasker.template_step(p_template_id, p_step) tmpl
    cross join lateral tasker.mapped_value(
        p_task_id,
        tmpl.inputs,
        (select c.max_result_bytes from tasker.settings c)) made
$$;
comment on function tasker.step_inputs(uuid, uuid, text, boolean) is
    'The inputs of a step, made of the context and the results of its parents as they are now, or '
    'why they cannot be made. No row: p_wanted is false.';
