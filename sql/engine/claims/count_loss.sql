create function tasker.count_loss(
    p_worker_id  uuid,
    p_since      timestamptz,
    p_lease      interval,
    p_alone      boolean,
    p_losses     int,
    p_deaths     int,
    out losses   int,
    out deaths   int,
    out failure  text
)
language plpgsql stable as $$
begin
    losses := p_losses + 1;
    deaths := p_deaths;

    -- A server that has started since the claim took the lease from a worker that may live, so the
    -- loss is no death. A worker that lives extends its leases and is seen every ten seconds, or
    -- every third of a lease; one that died was last seen two thirds of a lease ago.
    -- The third death and those after it count only where no other step can be to blame.
    if pg_postmaster_start_time() < p_since
       and (p_alone or p_deaths < 2)
       and not exists (
            select from tasker.workers w
            where w.worker_id = p_worker_id
              and w.last_seen > tasker.clock() - p_lease / 2
       )
    then
        deaths := deaths + 1;
        if deaths >= (select g.max_worker_losses from tasker.settings g) then
            failure := 'worker_lost';
            return;
        end if;
    end if;

    if losses >= (select g.max_lease_losses from tasker.settings g) then
        failure := 'lease_expired';
    end if;
end
$$;
comment on function tasker.count_loss(uuid, timestamptz, interval, boolean, int, int) is
    'Counts an expired lease as a loss: how many claims the step has lost in a row, how many of '
    'them because the worker died (as far as can be told), and the failure''s code if the step '
    'fails for it.';
