create function tasker.resend_results(p_max int, p_now timestamptz)
returns int
language plpgsql volatile as $$
declare
    v_oldest    timestamptz := least(
        tasker.oldest_message('orchestration_step_results'),
        p_now - interval '1 minute'
    );
    v_task_ids  uuid[];
    v_messages  jsonb[];
begin
    -- Tasks are looked for first, then locked: few results are lost, and many may be waiting.
    select array_agg(l.task_id)
    into v_task_ids
    from (
        select t.task_id
        from tasker.tasks t
        where t.completed_at is null
          and t.active > 0
          and t.updated_at < v_oldest
          and exists (
            select
            from tasker.steps s
            where s.task_id = t.task_id
              and s.state = 'enqueued_for_orchestration'
              and s.updated_at < v_oldest
              and tasker.is_lost_result(s.task_id, s.name, s.claim_no)
          )
        limit least(p_max, 100)
    ) l;
    v_task_ids := tasker.lock_free_tasks(v_task_ids);

    with touched as (
        update tasker.steps s
        set updated_at = p_now
        from (
            select l.task_id, l.name
            from unnest(v_task_ids) t(task_id)
            cross join lateral (
                select *
                from tasker.steps s
                where s.task_id = t.task_id
                  and s.state = 'enqueued_for_orchestration'
                  and s.updated_at < v_oldest
                  and tasker.is_lost_result(s.task_id, s.name, s.claim_no)
                limit p_max
                for no key update skip locked
            ) l
            limit p_max
        ) l
        where s.task_id = l.task_id
          and s.name = l.name
        returning s.task_id, s.name, s.claim_no
    )
    select array_agg(tasker.result_message(t.task_id, t.name, t.claim_no))
    into v_messages
    from touched t;

    perform tasker.send_results(v_messages);
    return coalesce(cardinality(v_messages), 0);
end
$$;
comment on function tasker.resend_results(int, timestamptz) is
    'Sends a new message for stored results whose message is gone, except those that are pending '
    'dead letters.';
