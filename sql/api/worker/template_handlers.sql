-- for: worker
-- planner: jit = off
create function tasker.template_handlers(p_template_id uuid)
returns table (
    template_step  text,
    handler        text,
    config         jsonb,
    namespace      text,
    template       text,
    max_attempts   int,
    events         jsonb
)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select
        s.name,
        s.handler,
        s.config,
        t.namespace,
        t.name,
        s.max_attempts,
        (
            select jsonb_agg(
                jsonb_build_object(
                    'name', e.name,
                    'version', e.version,
                    'delivery', e.delivery,
                    'condition', e.condition,
                    'schema', e.schema)
                order by e.position)
            from tasker.template_events e
            where e.template_id = s.template_id
              and e.step = s.name
        )
    from tasker.template_steps s
    join tasker.templates t on t.template_id = s.template_id
    where s.template_id = p_template_id
      and (
          (select tasker.limits()) is null
          or t.namespace = any ((select tasker.limits())::text[])
      )
    order by s.position
$$;
comment on function tasker.template_handlers(uuid) is
    'The handler, config, attempts, and events of each step of a template, and the template''s own '
    'names. A worker reads it once per template. Never changes.';
