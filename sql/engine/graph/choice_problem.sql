create function tasker.choice_problem(
    p_task_id  uuid,
    p_step     text,
    p_outcome  jsonb
)
returns text
language plpgsql stable as $$
declare
    v_needed  text := case p_outcome ->> 'type'
        when 'decision' then 'decision'
        when 'batches' then 'batchable'
    end;
    v_tmpl    tasker.template_steps;
begin
    select tmpl.*
    into v_tmpl
    from tasker.steps s
    cross join lateral (
        select t.template_id
        from tasker.tasks t
        where t.task_id = s.task_id
        offset 0
    ) task
    cross join lateral tasker.template_step(task.template_id, s.template_step) tmpl
    where s.task_id = p_task_id
      and s.name = p_step;

    return case
        -- The caller itself answers that there is no such step.
        when not found then null
        when v_needed is null then case
            when not v_tmpl.may_skip then format(
                'step "%s" may not be skipped: its template allows that by may_skip: true',
                p_step)
        end
        when v_tmpl.type <> v_needed then format(
            'step "%s" is of type %s: only a %s may have an outcome of type %s',
            p_step, v_tmpl.type, v_needed, p_outcome ->> 'type')
        when v_tmpl.type = 'batchable' then tasker.cursors_problem(p_step, p_outcome, v_tmpl)
        else tasker.decision_problem(p_step, p_outcome, v_tmpl)
    end;
end
$$;
comment on function tasker.choice_problem(uuid, text, jsonb) is
    'The problem of a well-formed decision, of a batch''s cursors, or of a skip, for the step that '
    'gave it; null: no problem, or no such step.';
