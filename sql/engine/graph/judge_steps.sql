create function tasker.judge_steps(p_task_ids uuid[], p_known jsonb[], p_now timestamptz)
returns jsonb[]
language plpgsql volatile as $$
declare
    v_task_ids   uuid[];
    v_steps      text[];
    v_templates  uuid[];
    v_left_tasks  uuid[];
    v_left_steps  text[];
    v_known      jsonb[];
begin
    select
        array_agg(k.task_id),
        array_agg(n.step),
        array_agg(t.template_id)
    into v_task_ids, v_steps, v_templates
    from unnest(p_task_ids, p_known) k(task_id, known)
    cross join lateral jsonb_each_text(k.known) n(step, presence)
    cross join lateral (
        select t.template_id from tasker.tasks t where t.task_id = k.task_id offset 0
    ) t
    where n.presence = 'ready';

    insert into tasker.step_verdicts (task_id, step, holds, reason, judged_at)
    select
        c.task_id,
        c.step,
        ((c.made).value)::boolean,
        (c.made).error,
        p_now
    from (
        select
            i.task_id,
            i.step,
            tasker.condition_value(i.task_id, tmpl.condition) as made
        from unnest(v_task_ids, v_steps, v_templates) i(task_id, step, template_id)
        cross join lateral tasker.template_step(i.template_id, i.step) tmpl
        where tmpl.condition is not null
        offset 0
    ) c;

    -- Those that exist where no other does look at what has just been judged.
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
    from unnest(v_task_ids, v_steps, v_templates) i(task_id, step, template_id)
    cross join lateral tasker.template_step(i.template_id, i.step) tmpl
    where tmpl.sisters is not null;

    -- Conditions further on look at those that are complete without having run.
    select array_agg(i.task_id), array_agg(i.step)
    into v_left_tasks, v_left_steps
    from unnest(v_task_ids, v_steps, v_templates) i(task_id, step, template_id)
    cross join lateral tasker.template_step(i.template_id, i.step) tmpl
    join tasker.step_verdicts verdict
      on verdict.task_id = i.task_id
     and verdict.step = i.step
     and not verdict.holds
    where tmpl.when_false = 'complete';
    if v_left_tasks is not null then
        perform tasker.make_left_out(v_left_tasks, v_left_steps, p_now);
    end if;

    select array_agg(k.known || coalesce(j.known, '{}') order by k.n)
    into v_known
    from unnest(p_task_ids, p_known) with ordinality k(task_id, known, n)
    left join (
        select
            i.task_id,
            jsonb_object_agg(
                i.step,
                case
                    when verdict.holds is distinct from false then 'exists'
                    when tmpl.when_false = 'complete' then 'skipped'
                    else 'not_chosen'
                end) as known
        from unnest(v_task_ids, v_steps, v_templates) i(task_id, step, template_id)
        cross join lateral tasker.template_step(i.template_id, i.step) tmpl
        cross join lateral (
            select v.holds
            from tasker.step_verdicts v
            where v.task_id = i.task_id
              and v.step = i.step
            offset 0
        ) verdict
        group by i.task_id
    ) j on j.task_id = k.task_id;
    return v_known;
end
$$;
comment on function tasker.judge_steps(uuid[], jsonb[], timestamptz) is
    'Judges the conditions of all steps that are ready for it, and stores the verdicts. Returns '
    'p_known with what follows: exists, not_chosen, or skipped (complete without having run). '
    'The caller holds the tasks.';
