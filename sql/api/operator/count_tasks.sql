-- for: operator
-- planner: jit = off
create function tasker.count_tasks(p_filter jsonb)
returns bigint
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return cardinality(
        tasker.match_tasks(p_filter, enum_range(null::tasker.task_state), null, false)
    );
end
$$;
comment on function tasker.count_tasks(jsonb) is
    'How many tasks match a filter of retry_tasks and cancel_tasks, in every state that the filter '
    'does not exclude. Error: TK030 filter.';
