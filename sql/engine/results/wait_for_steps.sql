create function tasker.wait_for_steps(
    p_task_ids   uuid[],
    p_steps      text[],
    p_claim_nos  int[],
    p_wait       interval
)
returns boolean
language plpgsql volatile as $$
declare
    v_before  text := current_setting('lock_timeout');
begin
    if coalesce(p_wait, '0') <= interval '0' then
        return false;
    end if;

    perform set_config(
        'lock_timeout',
        ceil(extract(epoch from least(p_wait, interval '10 s')) * 1000) || 'ms',
        true
    );

    perform from (
        select distinct *
        from unnest(p_task_ids, p_steps, p_claim_nos) i(task_id, step, claim_no)
        order by 1, 2, 3
    ) i
    cross join lateral (
        select from tasker.steps s
        where s.task_id = i.task_id
          and s.name = i.step
          and s.claim_no = i.claim_no
          and s.state = 'in_progress'
        for no key update
    ) s;

    perform set_config('lock_timeout', v_before, true);
    return true;
exception
    when lock_not_available or deadlock_detected then
        -- The setting is as before again, too.
        return false;
end
$$;
comment on function tasker.wait_for_steps(uuid[], text[], int[], interval) is
    'Waits for the steps of claims that are locked by others, at most p_wait each and at most ten '
    'seconds; null or 0: not at all. Returns whether the caller has locked them now.';
