create function tasker.template_handlers(p_template_id uuid) returns table (template_step text, handler text, config jsonb)
language sql stable security definer set search_path = '' set jit = off as $$
    select s.name, s.handler, s.config from tasker.template_steps s where s.template_id = p_template_id order by s.position
$$;
comment on function tasker.template_handlers(uuid) is 'What a worker reads once per template: the handler and config of each step. Never changes.';
