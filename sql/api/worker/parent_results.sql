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
    select t.template_id, s.template_step
    into v_template_id, v_template_step
    from tasker.tasks t
    join tasker.steps s on s.task_id = t.task_id
    where t.task_id = p_task_id
      and s.name = p_step;
    if not found then
        raise exception 'task % has no step "%"', p_task_id, left(p_step, 200)
            using errcode = 'TK032',
                hint = 'Give the task and the step as claim_steps gave them.';
    end if;

    return query
    select g.name, q.result
    from (
        select
            n.name,
            n.n,
            sum(n.bytes) over (order by n.n) as bytes
        from (
            select
                q.name,
                row_number() over (order by q.name) as n,
                coalesce(q.result_bytes, octet_length(q.result::text)) as bytes
            from tasker.template_edges e
            cross join lateral (
                select *
                from tasker.steps q
                where q.task_id = p_task_id
                  and q.name = e.parent
                  and q.satisfied
                offset 0
            ) q
            where e.template_id = v_template_id
              and e.child = v_template_step
              and e.parent > coalesce(p_after, '')
            order by q.name
            limit p_max
        ) n
    ) g
    cross join lateral (
        select q.result
        from tasker.steps q
        where q.task_id = p_task_id
          and q.name = g.name
        offset 0
    ) q
    -- A page of large results is a short one.
    where g.n = 1
       or g.bytes <= (select c.max_claim_bytes from tasker.settings c)
    order by g.name;
end
$$;
comment on function tasker.parent_results(uuid, text, text, int) is
    'The results of a step''s parents by name, in pages: those after p_after, p_max at most. '
    'A page holds at most max_claim_bytes as text: continue after its last parent until a page is '
    'empty. For a batch, use batch_results. Errors: TK032 no such step, TK008.';
