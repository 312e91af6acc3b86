-- for: client, operator, readonly
-- planner: jit = off
create function tasker.task_result(p_task_id uuid)
returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_done    boolean;
    v_result  jsonb;
    v_bytes   bigint;
    v_limit   bigint := (
        select greatest(16 * 1024 * 1024, c.max_result_bytes)
        from tasker.settings c
    );
begin
    perform tasker.check_task(p_task_id);
    select t.state in ('complete', 'resolved_manually'), t.result
    into v_done, v_result
    from tasker.tasks t
    where t.task_id = p_task_id;
    if not found then
        perform tasker.refuse_unknown_task(p_task_id);
    elsif v_done and v_result is null then
        -- task_results ends with the first result that is too much, before there is too much to
        -- hold.
        select coalesce(jsonb_object_agg(r.step, r.result), '{}'), sum(octet_length(r.result::text))
        into v_result, v_bytes
        from tasker.task_results(p_task_id) r;
        if v_bytes > v_limit then
            raise exception
                'the results of task % have more than % bytes',
                p_task_id,
                v_limit
                using errcode = 'TK013',
                      hint = 'Read them in pages: select * from tasker.task_results(task_id, '
                             'after_step). Large results are better kept elsewhere, with a '
                             'reference in the result.';
        end if;
    end if;
    return v_result;
end
$$;
comment on function tasker.task_result(uuid) is
    'What a complete task gives: the output that its template makes, else the results of its leaf '
    'steps (those nothing depends on) by name (a batch gives its summary); or the result that an '
    'operator gave to resolve the task; null while it is not complete. Errors: TK004 no such task, '
    'TK013 the results of leaf steps have more than 16 MiB: read them with task_results.';
