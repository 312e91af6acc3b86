-- for: worker
-- planner: plan_cache_mode = force_generic_plan, enable_seqscan = off
-- planner: enable_bitmapscan = off, jit = off
create function tasker.lost_claims(p_claims jsonb)
returns table (
    task_id   uuid,
    step      text,
    status    text,
    claim_no  int
)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform tasker.refuse_list(p_claims, 'p_claims') where jsonb_typeof(p_claims) <> 'array';
    if tasker.limits() is not null then
        p_claims := tasker.own_claims(p_claims);
    end if;
    return query
    select c.task_id, c.step, c.lost, c.claim_no
    from tasker.judged_claims(p_claims) c
    where c.lost is not null
    order by c.n;
end
$$;
comment on function tasker.lost_claims(jsonb) is
    'Which of these claims no longer count: [{"task_id","step","claim_no"}], answered like '
    'extend_leases and in the same order, but only the cancelled or stale ones; nothing is '
    'extended or written. Handlers learn of it before their lease is next extended.';
