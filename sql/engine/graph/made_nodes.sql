create function tasker.made_nodes(
    p_task_ids        uuid[],
    p_begin           boolean,
    out task_ids      uuid[],
    out template_ids  uuid[],
    out known         jsonb[],
    out made          jsonb[],
    out next          jsonb[]
)
language plpgsql stable as $$
begin
    select
        array_agg(task.task_id order by task.task_id),
        array_agg(task.template_id order by task.task_id),
        array_agg(coalesce(task.made, '{}') || coalesce(task.left_out, '{}') order by task.task_id),
        array_agg(coalesce(task.made, '{}') order by task.task_id),
        array_agg(coalesce(task.next, '[]') order by task.task_id)
    into task_ids, template_ids, known, made, next
    from (
        select
            task.task_id,
            task.template_id,
            jsonb_object_agg(tmpl.name, 'exists') filter (where node.made) as made,
            jsonb_object_agg(tmpl.name, 'not_chosen')
                filter (where not node.made and node.left_out) as left_out,
            jsonb_agg(tmpl.name) filter (where not node.made and not node.left_out) as next
        from (select distinct given.task_id from unnest(p_task_ids) given(task_id)) given
        cross join lateral (
            select *
            from tasker.tasks task
            where task.task_id = given.task_id
            offset 0
        ) task
        join tasker.templates template
          on template.template_id = task.template_id
         and template.dynamic
        join tasker.template_steps tmpl on tmpl.template_id = task.template_id
        -- A batch_worker has no row of its own: it is made once the cursors were taken.
        cross join lateral (
            select case
                when tmpl.type = 'batch_worker' then exists (
                    select
                    from tasker.template_edges edge
                    cross join lateral (
                        select *
                        from tasker.steps step
                        where step.task_id = task.task_id
                          and step.name = edge.parent
                        offset 0
                    ) batchable
                    where edge.template_id = task.template_id
                      and edge.child = tmpl.name
                      and batchable.satisfied
                      and not batchable.decided ? 'cursors'
                )
                else exists (
                    select
                    from tasker.steps step
                    where step.task_id = task.task_id
                      and step.name = tmpl.name
                )
            end as made,
            -- Judged, and not to exist.
            tmpl.conditional and exists (
                select
                from tasker.step_verdicts verdict
                where verdict.task_id = task.task_id
                  and verdict.step = tmpl.name
                  and not verdict.holds
            ) as left_out
            offset 0
        ) node
        group by task.task_id, task.template_id
    ) task
    -- Nothing can be said about a task that has not begun.
    where p_begin
       or task.made is not null
       or task.left_out is not null;
end
$$;
comment on function tasker.made_nodes(uuid[], boolean) is
    'For each of these tasks with a dynamic template: made: the steps that have rows, as {name: '
    '"exists"}; known: these, and those that a condition has left out (not_chosen); next: the '
    'names of all others. p_begin: also of tasks that are to begin now.';
