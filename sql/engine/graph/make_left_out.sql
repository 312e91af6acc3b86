create function tasker.make_left_out(
    p_task_ids  uuid[],
    p_steps     text[],
    p_verdicts  text[],
    p_now       timestamptz
)
returns void
language plpgsql volatile as $$
begin
    insert into tasker.steps (
        task_id,
        name,
        template_step,
        reveals,
        waiting_on,
        max_attempts,
        updated_at,
        created_at
    )
    select
        i.task_id,
        i.step,
        i.step,
        tmpl.reveals,
        0,
        tmpl.max_attempts,
        p_now,
        p_now
    from unnest(p_task_ids, p_steps, p_verdicts) i(task_id, step, verdict)
    join tasker.tasks t on t.task_id = i.task_id
    cross join lateral tasker.template_step(t.template_id, i.step) tmpl
    where i.verdict = 'skipped';

    -- A step begins as pending, for the audit's sake.
    update tasker.steps s
    set state = 'complete',
        satisfied = true,
        result = 'null',
        result_bytes = 4,
        completed_at = p_now
    from unnest(p_task_ids, p_steps, p_verdicts) i(task_id, step, verdict)
    where i.verdict = 'skipped'
      and s.task_id = i.task_id
      and s.name = i.step;
end
$$;
comment on function tasker.make_left_out(uuid[], text[], text[], timestamptz) is
    'Makes the steps whose verdict is skipped: complete with null, as no condition holds. '
    'The caller holds the tasks.';
