-- for: client, operator, readonly
-- planner: jit = off
create function tasker.task_results(p_task_id uuid, p_after text default null)
returns table (step text, result jsonb)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_limit  bigint := (
        select greatest(16 * 1024 * 1024, c.max_result_bytes)
        from tasker.settings c
    );
    v_bytes  bigint := 0;
    v_leaf   record;
begin
    perform tasker.check_task(p_task_id);
    if not exists (select from tasker.tasks t where t.task_id = p_task_id) then
        perform tasker.refuse_unknown_task(p_task_id);
    end if;

    -- Results are read one after the other: all of them may be more than PostgreSQL can hold.
    for v_leaf in
        select l.step, l.type
        from tasker.leaf_steps(p_task_id) l
        where p_after is null
           or l.step > p_after collate "C"
        order by l.step collate "C"
    loop
        step := v_leaf.step;
        if v_leaf.type = 'batch_worker' then
            result := tasker.batch_summary(p_task_id, v_leaf.step);
        else
            result := (
                select s.result
                from tasker.steps s
                where s.task_id = p_task_id
                  and s.name = v_leaf.step
            );
        end if;
        v_bytes := v_bytes + coalesce(octet_length(result::text), 0);
        return next;
        exit when v_bytes > v_limit;
    end loop;
end
$$;
comment on function tasker.task_results(uuid, text) is
    'The results of a task''s leaf steps that have ended well, by name, as rows: '
    'those after p_after, until they have 16 MiB. Call again with the last name for the next page. '
    'Error: TK004 no such task.';
