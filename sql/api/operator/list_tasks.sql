-- for: operator, readonly
-- planner: jit = off
-- requires: views/task_overview.sql
create function tasker.list_tasks(
    p_filter  jsonb default '{}',
    p_before  uuid default null,
    p_max     int default 100
)
returns setof tasker.task_overview
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
        select v.*
        from unnest(tasker.match_tasks(
            coalesce(p_filter, '{}'),
            enum_range(null::tasker.task_state),
            p_max,
            false,
            true,
            p_before
        )) with ordinality i(task_id, n)
        cross join lateral (
            select *
            from tasker.task_overview v
            where v.task_id = i.task_id
            offset 0
        ) v
        order by i.n;
end
$$;
comment on function tasker.list_tasks(jsonb, uuid, int) is
    'The newest tasks that match a filter of retry_tasks ({}: all), at most p_max; '
    'the next page begins before the last one''s task_id. '
    'Errors: TK030 filter, TK008 p_max.';
