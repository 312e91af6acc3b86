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
    select
        i.task_id,
        i.step,
        case
            when s.state = 'cancelled' or t.completed_at is not null then 'cancelled'
            else 'stale'
        end,
        i.claim_no
    from (
        select
            tasker.to_uuid(e.c ->> 'task_id') as task_id,
            e.c ->> 'step' as step,
            (tasker.to_ints(array[e.c ->> 'claim_no']))[1] as claim_no,
            e.n
        from jsonb_array_elements(p_claims) with ordinality e(c, n)
    ) i
    left join tasker.steps s
      on s.task_id = i.task_id
     and s.name = i.step
    left join tasker.tasks t on t.task_id = i.task_id
    where (
        s.state = 'in_progress'
        and s.claim_no = i.claim_no
        and t.completed_at is null
    ) is not true
    order by i.n;
end
$$;
comment on function tasker.lost_claims(jsonb) is
    'Which of these claims no longer count: [{"task_id","step","claim_no"}], answered like '
    'extend_leases and in the same order, but only the cancelled or stale ones; nothing is '
    'extended or written. Handlers learn of it before their lease is next extended.';
