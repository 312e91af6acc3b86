-- for: worker
-- planner: jit = off
create function tasker.outcome_too_large(p_outcome jsonb)
returns text
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select case p_outcome ->> 'type'
        when 'checkpoint' then tasker.result_too_large(p_outcome, 'checkpoint')
        when 'batches' then coalesce(
            tasker.cursors_too_large(p_outcome -> 'cursors'),
            tasker.result_too_large(p_outcome -> 'result'))
        when 'failure' then null
        else tasker.result_too_large(p_outcome -> 'result')
    end
$$;
comment on function tasker.outcome_too_large(jsonb) is
    'The problem of an outcome whose result, checkpoint, or cursors are over their limit as text; '
    'null if they are not.';
