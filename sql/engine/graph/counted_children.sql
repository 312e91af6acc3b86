create function tasker.counted_children(
    p_settled   tasker.settled_step[],
    p_claim     int,
    p_handlers  text[]
)
returns table (
    task_id  uuid,
    name     text,
    n        int,
    ready    boolean,
    held     boolean,
    claimed  boolean
)
-- Stable, in SQL, and without settings of its own, so that it becomes part of the statement that
-- calls it.
language sql stable as $$
    with satisfied as (
        select
            s.task_id,
            s.template_id,
            e.child,
            count(*)::int as n
        from unnest(p_settled) s
        join tasker.template_edges e
          on e.template_id = s.template_id
         and e.parent = s.template_step
        where s.satisfied
        group by s.task_id, s.template_id, e.child
    ), largest as (
        select max(s.bytes) as bytes
        from unnest(p_settled) s
    ), counted as (
        select
            s.task_id,
            c.name,
            s.n,
            c.waiting_on = s.n as ready,
            c.waiting_on = s.n
                and exists (select from tasker.every_gated_namespace)
                and (
                    select t.namespace
                    from tasker.tasks t
                    where t.task_id = s.task_id
                ) in (select g.namespace from tasker.every_gated_namespace g) as held,
            m.may_claim,
            -- The most bytes that the step is handed.
            case
                when m.may_claim then (
                    select coalesce(t.context_bytes, octet_length(t.context::text))
                        + p.parent_count
                        * (
                            1 + case
                                when p.after_batch then (
                                    select g.max_inline_results
                                    from tasker.settings g
                                )
                                else 0
                            end
                        )::bigint
                        * greatest(t.largest_result, (select l.bytes from largest l))
                    from tasker.tasks t
                    where t.task_id = s.task_id
                )
            end as bytes
        from satisfied s
        cross join lateral (
            select *
            from tasker.steps c
            where c.task_id = s.task_id
              and c.name = s.child
              and c.state = 'pending'
            offset 0
        ) c
        left join lateral (
            select
                p.handler,
                p.lease,
                p.parent_count,
                p.after_batch
            from tasker.template_steps p
            where p_claim > 0
              and p.template_id = s.template_id
              and p.name = c.template_step
            offset 0
        ) p on true
        -- A step with a lease of its own is claimed from its queue, where that lease can be set.
        cross join lateral (
            select p_claim > 0
                and c.waiting_on = s.n
                and p.handler = any (p_handlers)
                and p.lease is null as may_claim
            offset 0
        ) m
    )
    select
        c.task_id,
        c.name,
        c.n,
        c.ready,
        c.held,
        not c.held
            and c.may_claim
            and row_number() over w <= p_claim
            and sum(c.bytes) over w <= (select g.max_claim_bytes from tasker.settings g)
    from counted c
    window w as (order by not c.held and c.may_claim desc, c.task_id, c.name)
$$;
comment on function tasker.counted_children(tasker.settled_step[], int, text[]) is
    'The waiting children of satisfied steps: by how many each is counted down, '
    'whether it is ready then, held back, and to be claimed for the worker at once.';
