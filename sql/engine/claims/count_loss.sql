create function tasker.count_loss(
    p_claim      tasker.found_claim,
    p_lease      interval,
    out losses   int,
    out deaths   int,
    out failure  jsonb
)
language plpgsql stable as $$
declare
    v_code  text;
begin
    losses := p_claim.lease_losses;
    deaths := p_claim.worker_losses;
    if p_claim.state <> 'in_progress' then
        return;
    end if;

    losses := losses + 1;
    -- A server that has started since the claim took the lease from a worker that may live, so the
    -- loss is no death. A worker that lives extends its leases and is seen every ten seconds, or
    -- every third of a lease; one that died was last seen two thirds of a lease ago.
    -- The third death and those after it count only where no other step can be to blame.
    if pg_postmaster_start_time() < p_claim.started_at
       and (p_claim.alone or deaths < 2)
       and not exists (
            select from tasker.workers w
            where w.worker_id = p_claim.worker_id
              and w.last_seen > tasker.clock() - coalesce(p_claim.lease, p_lease) / 2
       )
    then
        deaths := deaths + 1;
    end if;

    if deaths > p_claim.worker_losses
       and deaths >= (select g.max_worker_losses from tasker.settings g)
    then
        v_code := 'worker_lost';
    elsif losses >= (select g.max_lease_losses from tasker.settings g) then
        v_code := 'lease_expired';
    end if;
    if v_code is not null then
        failure := tasker.loss_error(v_code, p_claim.worker_id, losses);
    end if;
end
$$;
comment on function tasker.count_loss(tasker.found_claim, interval) is
    'Counts the expired lease of a step in progress as a loss: how many claims it has lost in a '
    'row, how many of them because the worker died (as far as can be told), and its failure where '
    'it fails for that. p_lease: the worker''s, for a step without one of its own.';
