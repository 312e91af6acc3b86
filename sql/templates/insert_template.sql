create function tasker.insert_template(p_definition jsonb, p_hash text)
returns uuid
language plpgsql volatile as $$
declare
    v_id  uuid := tasker.new_id();
begin
    insert into tasker.templates (
        template_id,
        namespace,
        name,
        version,
        definition,
        content_hash,
        input_schema,
        constants,
        defaults,
        output,
        on_failure,
        applied_no,
        created_at,
        max_waiting_for_dependencies_minutes,
        max_waiting_for_retry_minutes,
        max_steps_in_process_minutes,
        max_duration_minutes,
        retention_days
    )
    values (
        v_id,
        p_definition ->> 'namespace',
        p_definition ->> 'name',
        p_definition ->> 'version',
        p_definition,
        p_hash,
        p_definition -> 'input_schema',
        p_definition -> 'constants',
        tasker.schema_defaults(p_definition -> 'input_schema'),
        tasker.compile_output(p_definition),
        coalesce(p_definition ->> 'on_failure', 'block'),
        nextval('tasker.template_applied_no'),
        tasker.clock(),
        (p_definition #>> '{lifecycle,max_waiting_for_dependencies_minutes}')::numeric,
        (p_definition #>> '{lifecycle,max_waiting_for_retry_minutes}')::numeric,
        (p_definition #>> '{lifecycle,max_steps_in_process_minutes}')::numeric,
        (p_definition #>> '{lifecycle,max_duration_minutes}')::numeric,
        (p_definition #>> '{lifecycle,retention_days}')::numeric
    );

    perform tasker.insert_template_edges(v_id, p_definition -> 'steps');
    perform tasker.insert_template_steps(
        v_id, p_definition -> 'steps', p_definition -> 'constants');
    perform tasker.insert_template_events(v_id, p_definition -> 'steps');
    update tasker.templates t
    set dynamic = true,
        judged_roots = exists (
            select
            from tasker.template_steps s
            where s.template_id = v_id
              and s.conditional
              and s.parent_count = 0
        )
    where t.template_id = v_id
      and exists (
          select
          from tasker.template_steps s
          where s.template_id = v_id
            and not s.initial
      );
    return v_id;
end
$$;
comment on function tasker.insert_template(jsonb, text) is
    'Writes a valid template into its tables.';
