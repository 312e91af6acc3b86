-- for: orchestrator
-- planner: jit = off
create function tasker.template_input_schema(p_template_id uuid)
returns jsonb
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select t.input_schema
    from tasker.templates t
    where t.template_id = p_template_id
      and (
          (select tasker.limits()) is null
          or t.namespace = any ((select tasker.limits())::text[])
      )
$$;
comment on function tasker.template_input_schema(uuid) is
    'The JSON Schema for the context of a template''s tasks, or null. Never changes.';
