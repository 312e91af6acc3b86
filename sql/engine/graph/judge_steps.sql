create function tasker.judge_steps(
    p_task_ids      uuid[],
    p_template_ids  uuid[],
    p_added         jsonb[],
    p_now           timestamptz
)
returns jsonb[]
language plpgsql volatile as $$
declare
    v_task_ids    uuid[];
    v_steps       text[];
    v_conditions  jsonb[];
    v_when_false  text[];
    v_verdicts    text[];
    v_known       jsonb[];
begin
    select
        array_agg(k.task_id),
        array_agg(tmpl.name),
        array_agg(tmpl.condition),
        array_agg(tmpl.when_false)
    into v_task_ids, v_steps, v_conditions, v_when_false
    from unnest(p_task_ids, p_template_ids, p_added) k(task_id, template_id, added)
    cross join lateral jsonb_each_text(k.added) e(step, presence)
    cross join lateral tasker.template_step(k.template_id, e.step) tmpl
    where e.presence = 'ready';

    insert into tasker.step_verdicts (task_id, step, holds, reason, judged_at)
    select
        c.task_id,
        c.step,
        ((c.made).value)::boolean,
        (c.made).error,
        p_now
    from (
        select i.task_id, i.step, tasker.condition_value(i.task_id, i.condition) as made
        from unnest(v_task_ids, v_steps, v_conditions) i(task_id, step, condition)
        where i.condition is not null
        offset 0
    ) c;
    if array_position(v_conditions, null) is not null then
        perform tasker.judge_otherwise(v_task_ids, v_steps, v_conditions, p_now);
    end if;

    -- One that cannot be judged exists, and fails.
    v_verdicts := array(
        select case
            when i.holds is distinct from false then 'exists'
            when i.when_false = 'complete' then 'skipped'
            else 'not_chosen'
        end
        from (
            select
                i.when_false,
                i.n,
                (
                    select v.holds
                    from tasker.step_verdicts v
                    where v.task_id = i.task_id
                      and v.step = i.step
                )
            from unnest(v_task_ids, v_steps, v_when_false)
                with ordinality i(task_id, step, when_false, n)
        ) i
        order by i.n
    );
    -- Conditions further on look at those that are complete without having run.
    if 'skipped' = any (v_verdicts) then
        perform tasker.make_left_out(v_task_ids, v_steps, v_verdicts, p_now);
    end if;

    select array_agg(k.added || coalesce(j.known, '{}') order by k.n)
    into v_known
    from unnest(p_task_ids, p_added) with ordinality k(task_id, added, n)
    left join (
        select i.task_id, jsonb_object_agg(i.step, i.verdict) as known
        from unnest(v_task_ids, v_steps, v_verdicts) i(task_id, step, verdict)
        group by i.task_id
    ) j on j.task_id = k.task_id;
    return v_known;
end
$$;
comment on function tasker.judge_steps(uuid[], uuid[], jsonb[], timestamptz) is
    'Judges the conditions of all steps that are ready for it, and stores the verdicts. Returns '
    'p_added with what follows: exists, not_chosen, or skipped (complete without having run). '
    'The caller holds the tasks.';
