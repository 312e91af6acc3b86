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
    claimed  boolean,
    maker    uuid
)
-- Stable, in SQL, and without settings of its own, so that it becomes part of the statement that
-- calls it.
language sql stable as $$
    with children as (
        select
            child.*,
            -- A step with a lease of its own is claimed from its queue, where that lease can be
            -- set.
            coalesce(
                child.ready
                and not child.held
                and tmpl.handler = any (p_handlers)
                and tmpl.lease is null,
                false) as may_claim,
            tmpl.parent_count,
            tmpl.after_batch,
            tmpl.inputs_bytes,
            tmpl.inputs_paths
        from tasker.waiting_children(p_settled) child
        left join lateral (
            select p.handler, p.lease, p.parent_count, p.after_batch, p.inputs_bytes, p.inputs_paths
            from tasker.template_steps p
            where p_claim > 0
              and p.template_id = child.template_id
              and p.name = child.template_step
            offset 0
        ) tmpl on true
    ), sized as (
        -- The most bytes that a step is handed.
        select
            c.*,
            case
                when c.may_claim then (
                    select
                        d.context
                        + d.parents
                        + tasker.mapping_bytes(
                            c.inputs_bytes,
                            c.inputs_paths,
                            d.context,
                            d.parents,
                            d.max_result_bytes)
                    from (
                        select
                            coalesce(t.context_bytes, octet_length(t.context::text)) as context,
                            c.parent_count::bigint
                                * (1 + case when c.after_batch then g.max_inline_results else 0 end)
                                * greatest(
                                    t.largest_result,
                                    (select max(s.bytes) from unnest(p_settled) s)) as parents,
                            g.max_result_bytes
                        from tasker.tasks t
                        cross join tasker.settings g
                        where t.task_id = c.task_id
                    ) d
                )
            end as bytes
        from children c
    )
    select
        s.task_id,
        s.name,
        s.n,
        s.ready,
        s.held,
        s.may_claim
            and row_number() over w <= p_claim
            and sum(s.bytes) over w <= (select g.max_claim_bytes from tasker.settings g),
        case when s.inputs_bytes is not null then s.template_id end
    from sized s
    window w as (order by s.may_claim desc, s.task_id, s.name)
$$;
comment on function tasker.counted_children(tasker.settled_step[], int, text[]) is
    'waiting_children, and which of them the worker claims at once: at most p_claim with a handler '
    'in p_handlers. maker: the template, where it makes the step''s inputs.';
