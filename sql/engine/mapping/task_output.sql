create function tasker.task_output(p_task_id uuid, p_template_id uuid)
returns tasker.made_value
language plpgsql stable as $$
declare
    v_output  jsonb := (
        select t.output from tasker.templates t where t.template_id = p_template_id
    );
    v_made    tasker.made_value;
begin
    if v_output is not null then
        select o.result, o.errors
        into v_made
        from tasker.output_values(p_task_id, v_output) o;
    end if;
    return v_made;
end
$$;
comment on function tasker.task_output(uuid, uuid) is
    'The output of a task that ends; nulls: its template has none.';
