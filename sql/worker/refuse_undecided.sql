create function tasker.refuse_undecided(p_task_ids uuid[], p_steps text[], p_outcomes jsonb[], p_errors jsonb[]) returns jsonb[]
language sql stable as $$
    -- Taken for "none", a forgotten choice would silently leave out everything that depends on it.
    select array_agg(case when i.error is null and i.outcome ->> 'type' = 'success' and s.type is not null
                          then jsonb_build_object('message', format('step "%s" is of type %s: a plain success says nothing about what follows; return %s', i.step, s.type,
                                   case s.type when 'decision' then '{"type":"decision","create_steps":[…]}, empty for none' else '{"type":"batches","cursors":[…]}, empty for none' end),
                                   'code', 'invalid_outcome', 'retryable', false)
                          else i.error end order by i.n)
      from unnest(p_task_ids, p_steps, p_outcomes, p_errors) with ordinality i(task_id, step, outcome, error, n)
      left join lateral (select p.type from tasker.steps s
                           join tasker.tasks t on t.task_id = s.task_id
                           join tasker.template_steps p on p.template_id = t.template_id and p.name = s.template_step
                          where s.task_id = i.task_id and s.name = i.step and s.decides) s on true
$$;
comment on function tasker.refuse_undecided(uuid[], text[], jsonb[], jsonb[]) is 'The errors of outcomes, with one for each plain success of a step that has to decide.';
