create function tasker.park_claims(p_found tasker.found_claim[]) returns void
language plpgsql volatile as $$
begin
    perform tasker.park_steps(
        array_agg(f.namespace order by f.msg_id),
        array_agg(f.handler order by f.msg_id),
        array_agg(f.task_id order by f.msg_id),
        array_agg(f.name order by f.msg_id),
        -- The message of a lost claim: it tells the loss to the next claimer of the step.
        array_agg(case when f.state = 'in_progress' then f.old_id end order by f.msg_id))
    from unnest(p_found) f;
end
$$;
comment on function tasker.park_claims(tasker.found_claim[]) is
    'Parks steps that messages of a claim refer to.';
