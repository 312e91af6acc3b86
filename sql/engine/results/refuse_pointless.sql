create function tasker.refuse_pointless(
    p_task_ids  uuid[],
    p_steps     text[],
    p_outcomes  jsonb[],
    p_errors    jsonb[]
)
returns jsonb[]
language sql stable as $$
    select array_agg(
        coalesce(
            i.error,
            -- Where there is no message, the second half is null, and so the whole is.
            jsonb_build_object('message', m.message, 'code', 'invalid_outcome', 'retryable', false)
                || case when m.message is not null then '{}'::jsonb end)
        order by i.n)
    from unnest(p_task_ids, p_steps, p_outcomes, p_errors)
        with ordinality i(task_id, step, outcome, error, n)
    left join lateral (
        select s.decides, s.checkpoint, p.type
        from tasker.steps s
        join tasker.tasks t on t.task_id = s.task_id
        cross join lateral tasker.template_step(t.template_id, s.template_step) p
        where s.task_id = i.task_id
          and s.name = i.step
          and (s.decides or i.outcome ->> 'type' = 'checkpoint')
    ) s on true
    cross join lateral (
        select case
            -- If it meant "none", a forgotten choice would silently leave out everything
            -- that depends on it.
            when s.decides and i.outcome ->> 'type' = 'success'
                then format(
                    'step "%s" is of type %s: a plain success says nothing about what follows; '
                    'return %s',
                    i.step,
                    s.type,
                    case s.type
                        when 'decision'
                            then '{"type":"decision","create_steps":[...]}, empty for none'
                        else '{"type":"batches","cursors":[...]}, empty for none'
                    end)
            -- Such a step would repeat without end, because its attempts are never used up.
            when i.outcome ->> 'type' = 'checkpoint'
             and s.checkpoint -> 'cursor' = i.outcome -> 'cursor'
             and s.checkpoint -> 'accumulated' = coalesce(i.outcome -> 'accumulated', 'null')
             and s.checkpoint -> 'items_processed'
                 = to_jsonb(tasker.to_items(i.outcome -> 'items_processed'))
                then format(
                    'step "%s" saved the same checkpoint as before: it makes no progress; '
                    'to wait for something, fail with retry_after_ms',
                    i.step)
        end as message
    ) m
$$;
comment on function tasker.refuse_pointless(uuid[], text[], jsonb[], jsonb[]) is
    'The errors of outcomes, with one for each plain success of a step that has to decide, and for '
    'each checkpoint that repeats the one before.';
