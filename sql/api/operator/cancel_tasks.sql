-- for: operator
-- planner: jit = off
create function tasker.cancel_tasks(
    p_filter  jsonb,
    p_reason  text default null,
    p_by      text default null,
    p_max     int default 100
)
returns int
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_task_ids  uuid[] := tasker.match_tasks(
        p_filter,
        enum_range(null, 'blocked_by_failures'::tasker.task_state),
        p_max,
        true
    );
begin
    perform tasker.set_actor(null, tasker.audit_reason('cancelled', p_by, p_reason));
    perform tasker.end_tasks(v_task_ids, 'cancelled');
    perform tasker.set_actor(null);
    return cardinality(v_task_ids);
end
$$;
comment on function tasker.cancel_tasks(jsonb, text, text, int) is
    'Cancels up to p_max unfinished tasks that match p_filter, as cancel_task does for one. '
    'Skips tasks locked by another transaction. Returns how many: call again until 0. '
    'Errors: TK030 filter, TK008 p_max.';
