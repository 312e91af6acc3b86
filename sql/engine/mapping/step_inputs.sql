create function tasker.step_inputs(p_task_id uuid, p_template_id uuid, p_step text)
returns tasker.made_value
language plpgsql stable as $$
declare
    v_made  tasker.made_value;
begin
    select m.value, m.error
    into v_made
    from tasker.template_step(p_template_id, p_step) tmpl
    cross join lateral tasker.mapped_value(
        p_task_id,
        tmpl.inputs,
        (select c.max_result_bytes from tasker.settings c)) m;
    return v_made;
end
$$;
comment on function tasker.step_inputs(uuid, uuid, text) is
    'The inputs of a step, made of the context and the results of its parents as they are now, or '
    'why they cannot be made.';
