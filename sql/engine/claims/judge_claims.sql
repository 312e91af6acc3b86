create function tasker.judge_claims(p_found tasker.found_claim[], p_max int, p_room bigint)
returns table (
    candidate  tasker.found_claim,
    too_large  boolean,
    bytes      bigint,
    verdict    text
)
-- Few in the caller's plan, as arrays are.
language plpgsql volatile rows 10 as $$
declare
    v_most  bigint := (select c.max_claim_bytes from tasker.settings c);
begin
    return query
    with finished as materialized (
        -- A step of a finished task is cancelled, but not while somebody is about to let the task
        -- go on.
        select task.task_id
        from (
            select distinct f.task_id
            from unnest(p_found) f
            where f.live
              and f.task_finished
        ) f
        cross join lateral (
            select t.task_id
            from tasker.tasks t
            where t.task_id = f.task_id
              and t.completed_at is not null
            for share skip locked
        ) task
    ), once as materialized (
        -- A step may have been sent twice: one message claims it, the others are dropped.
        select distinct on (f.task_id, f.name)
            f.msg_id,
            f.own,
            f.own + f.inherited + f.summaries as at_most,
            f.task_finished,
            f.fits,
            f as claim,
            not f.task_finished and f.own > v_most as too_large
        from unnest(p_found) f
        where f.live
          and (not f.task_finished or f.task_id in (select n.task_id from finished n))
        order by f.task_id, f.name, f.msg_id
    ), sized as (
        -- The results of parents count with what they have at most, and only where that is too
        -- much with what they have. Those over the limit come by pages.
        select
            o.msg_id,
            o.claim,
            o.too_large,
            case
                when o.task_finished or o.too_large then 0
                when sum(o.at_most) over () <= coalesce(p_room, v_most) then o.at_most
                else o.own + (o.claim).summaries + (
                    select case when o.own + b.bytes <= v_most then b.bytes else 0 end
                    from tasker.parent_bytes(
                        (o.claim).task_id,
                        (o.claim).template_id,
                        (o.claim).template_step) b(bytes))
            end as bytes
        from once o
        where o.fits
    )
    select
        s.claim,
        s.too_large,
        s.bytes,
        case
            when (p_max is null or row_number() over w <= p_max)
             and (sum(s.bytes) over w <= coalesce(p_room, v_most)
                 or p_room is null and row_number() over w = 1) then 'claim'
            else 'back'
        end
    from sized s
    window w as (order by s.msg_id)
    union all
    select o.claim, o.too_large, 0, 'park'
    from once o
    where not o.fits
    union all
    select f, false, 0, 'held'
    from unnest(p_found) f
    where f.live
      and f.task_finished
      and f.task_id not in (select n.task_id from finished n);
end
$$;
comment on function tasker.judge_claims(tasker.found_claim[], int, bigint) is
    'Decides what to do with the messages of a claim: claim; back (more than the claimer wants, or '
    'than an answer may have: it stays in the queue); park (the claimer lacks its handler); held '
    '(its task is locked). Messages without a row are useless.';
