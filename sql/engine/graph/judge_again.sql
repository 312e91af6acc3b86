create function tasker.judge_again(p_task_ids uuid[], p_steps text[], p_now timestamptz)
returns void
language plpgsql volatile as $$
declare
    v_nodes  tasker.new_node[];
begin
    with judged as (
        update tasker.step_verdicts v
        set holds = case when (i.made).value = 'true' then true end,
            reason = case
                -- What depends on the step is there, and cannot be left out any more.
                when (i.made).value = 'false' then tasker.mapping_error(
                    'invalid_condition',
                    format(
                        'its condition is false now (%s), too late for what depends on it: '
                        'resolve it with a result',
                        (i.made).error #>> '{}'))
                else (i.made).error
            end,
            judged_at = p_now
        from (
            select
                f.task_id,
                f.step,
                tasker.condition_value(f.task_id, tmpl.condition) as made
            from unnest(p_task_ids, p_steps) i(task_id, step)
            join tasker.step_verdicts f
              on f.task_id = i.task_id
             and f.step = i.step
             and f.holds is null
            join tasker.tasks t on t.task_id = f.task_id
            cross join lateral tasker.template_step(t.template_id, f.step) tmpl
            offset 0
        ) i
        where v.task_id = i.task_id
          and v.step = i.step
        returning v.task_id, v.step, v.holds, v.reason
    )
    select array_agg(
        row(j.task_id, null, j.step, null, null, null, null, null, null, j.reason)
            ::tasker.new_node)
    into v_nodes
    from judged j
    where j.holds is null;

    if v_nodes is not null then
        perform tasker.fail_judged(v_nodes, p_now);
    end if;
end
$$;
comment on function tasker.judge_again(uuid[], text[], timestamptz) is
    'Judges the conditions of restarted steps again where they could not be judged, and fails the '
    'steps where they still cannot. The caller holds the tasks.';
