-- for: worker, operator, readonly
-- planner: plan_cache_mode = force_generic_plan, enable_seqscan = off, jit = off
create function tasker.batch_results(
    p_task_id  uuid,
    p_step     text,
    p_after    int default 0,
    p_max      int default 1000
)
returns table (
    instance  int,
    step      text,
    state     text,
    inputs    jsonb,
    result    jsonb,
    error     jsonb
)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform tasker.check_task(p_task_id);
    perform tasker.check_max(p_max);
    if not exists (
        select
        from tasker.tasks task
        join tasker.template_steps tmpl on tmpl.template_id = task.template_id
        where task.task_id = p_task_id
          and tmpl.name = p_step
          and tmpl.type = 'batch_worker'
    ) then
        raise exception 'task % has no batch_worker "%"',
            coalesce(p_task_id::text, 'null'), coalesce(left(p_step, 100), 'null')
            using errcode = 'TK032',
                hint = 'Give the name of the batch_worker as it stands in the template, '
                    'without a number.';
    end if;

    -- Read by name, which follows from the number: a page costs the same wherever it is.
    return query
    select
        page.instance,
        page.name,
        page.state::text,
        page.inputs,
        page.result,
        page.error
    from (
        select
            step.*,
            n,
            sum(
                coalesce(step.result_bytes, octet_length(step.result::text))
                + coalesce(octet_length(step.inputs::text), 0)::bigint
            ) over (order by n) as bytes
        from generate_series(
            coalesce(p_after, 0)::bigint + 1,
            coalesce(p_after, 0)::bigint + p_max
        ) n
        cross join lateral (
            select *
            from tasker.steps step
            where step.task_id = p_task_id
              and step.name = tasker.instance_name(p_step, n)
            offset 0
        ) step
    ) page
    -- A page of large results is a short one.
    where page.n = coalesce(p_after, 0)::bigint + 1
       or coalesce(page.bytes, 0) <= (select settings.max_claim_bytes from tasker.settings)
    order by page.n;
end
$$;
comment on function tasker.batch_results(uuid, text, int, int) is
    'The instances of a batch, in pages: those after number p_after, p_max at most. '
    'p_step: the batch_worker''s name in the template. A page holds at most max_claim_bytes as '
    'text: continue after its last instance until a page is empty. '
    'Errors: TK032 no such batch_worker, TK008.';
