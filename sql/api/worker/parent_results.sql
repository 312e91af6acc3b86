-- for: worker
-- planner: plan_cache_mode = force_generic_plan, enable_seqscan = off, jit = off
create function tasker.parent_results(
    p_task_id  uuid,
    p_step     text,
    p_after    text default null,
    p_max      int default 1000
)
returns table (parent text, result jsonb)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_template_id    uuid;
    v_template_step  text;
begin
    perform tasker.check_task(p_task_id);
    perform tasker.check_max(p_max);
    select task.template_id, step.template_step
    into v_template_id, v_template_step
    from tasker.tasks task
    join tasker.steps step on step.task_id = task.task_id
    where task.task_id = p_task_id
      and step.name = p_step;
    if not found then
        raise exception 'task % has no step "%"', p_task_id, left(p_step, 200)
            using errcode = 'TK032',
                hint = 'Give the task and the step as claim_steps gave them.';
    end if;

    return query
    select page.name, parent.result
    from (
        select
            listed.name,
            listed.n,
            sum(listed.bytes) over (order by listed.n) as bytes
        from (
            select
                parent.name,
                row_number() over (order by parent.name) as n,
                coalesce(parent.result_bytes, octet_length(parent.result::text)) as bytes
            from tasker.template_edges edge
            cross join lateral (
                select *
                from tasker.steps parent
                where parent.task_id = p_task_id
                  and parent.name = edge.parent
                  and parent.satisfied
                offset 0
            ) parent
            where edge.template_id = v_template_id
              and edge.child = v_template_step
              and edge.parent > coalesce(p_after, '')
            order by parent.name
            limit p_max
        ) listed
    ) page
    cross join lateral (
        select parent.result
        from tasker.steps parent
        where parent.task_id = p_task_id
          and parent.name = page.name
        offset 0
    ) parent
    -- A page of large results is a short one.
    where page.n = 1
       or page.bytes <= (select settings.max_claim_bytes from tasker.settings)
    order by page.name;
end
$$;
comment on function tasker.parent_results(uuid, text, text, int) is
    'The results of a step''s parents by name, in pages: those after p_after, p_max at most. '
    'A page holds at most max_claim_bytes as text: continue after its last parent until a page is '
    'empty. For a batch, use batch_results. Errors: TK032 no such step, TK008.';
