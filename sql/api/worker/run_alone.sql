-- for: worker
create function tasker.run_alone(p_worker_id uuid, p_claim jsonb)
returns text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_claim     jsonb := tasker.own_claims(jsonb_build_array(p_claim)) -> 0;
    v_task_id   uuid := tasker.to_uuid(v_claim ->> 'task_id');
    v_step      text := v_claim ->> 'step';
    v_claim_no  int := (tasker.to_ints(array[v_claim ->> 'claim_no']))[1];
    v_answer    text;
begin
    perform tasker.refuse_isolation();
    with held as materialized (
        select s.task_id, s.name
        from tasker.steps s
        where s.task_id = v_task_id
          and s.name = v_step
          and s.claim_no = v_claim_no
          and s.state = 'in_progress'
        for no key update skip locked
    )
    update tasker.steps s
    set alone = true
    from held h
    where s.task_id = h.task_id
      and s.name = h.name
    returning 'alone' into v_answer;

    return coalesce(
        v_answer,
        (
            select 'busy'
            from tasker.steps s
            where s.task_id = v_task_id
              and s.name = v_step
              and s.claim_no = v_claim_no
              and s.state = 'in_progress'
        ),
        'stale');
end
$$;
comment on function tasker.run_alone(uuid, jsonb) is
    'Says that a claim marked run_alone by claim_steps begins to run now, with no other step '
    'beside it: {"task_id","step","claim_no"}. If this worker dies too, that counts against '
    'max_worker_losses; at that number the step fails as worker_lost. '
    'Answers alone; busy (another transaction has locked the step: try again); stale.';
