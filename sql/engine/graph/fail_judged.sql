create function tasker.fail_judged(p_nodes tasker.new_node[], p_now timestamptz)
returns uuid[]
language plpgsql volatile as $$
declare
    v_task_ids  uuid[];
    v_results   jsonb[];
begin
    if not exists (select from unnest(p_nodes) n where n.error is not null) then
        return null;
    end if;

    with moved as (
        update tasker.steps s
        set state = 'enqueued_for_orchestration',
            error = n.error || jsonb_build_object('attempt', 0),
            claim_no = s.claim_no + 1,
            available_at = null,
            updated_at = p_now
        from unnest(p_nodes) n
        where n.error is not null
          and s.task_id = n.task_id
          and s.name = n.step
        returning s.task_id, s.name, s.claim_no
    )
    select
        array_agg(m.task_id),
        array_agg(tasker.result_message(m.task_id, m.name, m.claim_no))
    into v_task_ids, v_results
    from moved m;
    perform tasker.send_results(v_results);
    return v_task_ids;
end
$$;
comment on function tasker.fail_judged(tasker.new_node[], timestamptz) is
    'Fails new or restarted steps whose condition cannot be judged: an orchestrator processes '
    'that like another result. Returns a task for each.';
