create function tasker.judge_otherwise(
    p_task_ids    uuid[],
    p_steps       text[],
    p_conditions  jsonb[],
    p_now         timestamptz
)
returns void
language plpgsql volatile as $$
begin
    insert into tasker.step_verdicts (task_id, step, holds, judged_at)
    select
        i.task_id,
        i.step,
        (
            select count(*)
            from unnest(tmpl.sisters) sister(step)
            join tasker.step_verdicts verdict
              on verdict.task_id = i.task_id
             and verdict.step = sister.step
             and not verdict.holds
        ) = cardinality(tmpl.sisters),
        p_now
    from unnest(p_task_ids, p_steps, p_conditions) i(task_id, step, condition)
    join tasker.tasks t on t.task_id = i.task_id
    cross join lateral tasker.template_step(t.template_id, i.step) tmpl
    where i.condition is null;
end
$$;
comment on function tasker.judge_otherwise(uuid[], text[], jsonb[], timestamptz) is
    'Stores the verdicts of steps that exist where no other does (p_conditions: null): each of '
    'the others has been judged, and is left out.';
