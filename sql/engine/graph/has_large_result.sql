create function tasker.has_large_result(p_settled tasker.settled_step[])
returns boolean
language plpgsql stable as $$
begin
    return exists (
        select
        from unnest(p_settled) r
        cross join lateral (
            select *
            from tasker.steps s
            where s.task_id = r.task_id
              and s.name = r.step
            offset 0
        ) s
        where r.decides
          and r.satisfied
          and tasker.cursor_count(s.decided) > 1000
    );
end
$$;
comment on function tasker.has_large_result(tasker.settled_step[]) is
    'Whether one of these steps creates more than 1,000 instances: such a result is processed '
    'alone.';
