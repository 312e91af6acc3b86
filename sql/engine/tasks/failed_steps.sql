-- planner: enable_nestloop = off
create function tasker.failed_steps(p_task_ids uuid[])
returns table (task_id uuid, name text, waiting_on int)
-- Counted once for each step of the template and joined by hash: a nested loop would be quadratic
-- in a task of many steps.
language plpgsql stable as $$
begin
    return query
        with chosen as materialized (
            select t.task_id, t.template_id, t.completed_at
            from tasker.tasks t
            where t.task_id = any (p_task_ids)
        ), steps as materialized (
            select
                s.task_id,
                s.name,
                s.template_step,
                s.state,
                s.satisfied
            from tasker.steps s
            where s.task_id = any (p_task_ids)
        ), waits as materialized (
            select
                o.task_id,
                e.child,
                sum(o.n)::int as n
            from (
                select s.task_id, s.template_step, count(*) as n
                from steps s
                where not s.satisfied
                group by 1, 2
            ) o
            join chosen c on c.task_id = o.task_id
            join tasker.template_edges e
              on e.template_id = c.template_id
             and e.parent = o.template_step
            where e.template_id = any (array(select c.template_id from chosen c))
            group by o.task_id, e.child
        )
        select s.task_id, s.name, coalesce(w.n, 0)
        from steps s
        join chosen c on c.task_id = s.task_id
        left join waits w
          on w.task_id = s.task_id
         and w.child = s.template_step
        -- A step that still waits in a task that goes on has the right count already.
        where not s.satisfied
          and (
            s.state in ('error', 'cancelled')
            or s.state = 'pending' and c.completed_at is not null
          );
end
$$;
comment on function tasker.failed_steps(uuid[]) is
    'The steps that run again when tasks in blocked_by_failures or error go on, '
    'and how many steps each of them waits for.';
