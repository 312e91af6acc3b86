create function tasker.judged_claims(p_claims jsonb)
returns table (
    n              bigint,
    task_id        uuid,
    step           text,
    claim_no       int,
    lost           text,
    msg_id         bigint,
    namespace      text,
    template_id    uuid,
    template_step  text
)
-- Stable, in SQL, and without settings of its own, so that it becomes part of the statement that
-- calls it.
language sql stable as $$
    select
        c.n,
        c.task_id,
        c.step,
        c.claim_no,
        case
            when s.state = 'cancelled' or t.completed_at is not null then 'cancelled'
            when s.state = 'in_progress' and s.claim_no = c.claim_no then null
            else 'stale'
        end,
        s.msg_id,
        t.namespace,
        t.template_id,
        s.template_step
    from (
        select
            e.n,
            tasker.to_uuid(e.c ->> 'task_id') as task_id,
            e.c ->> 'step' as step,
            (tasker.to_ints(array[e.c ->> 'claim_no']))[1] as claim_no
        from jsonb_array_elements(p_claims) with ordinality e(c, n)
    ) c
    -- With offset 0 each is looked up by its key, whatever the planner knew of the tables' sizes.
    left join lateral (
        select *
        from tasker.steps s
        where s.task_id = c.task_id
          and s.name = c.step
        offset 0
    ) s on true
    left join lateral (
        select *
        from tasker.tasks t
        where t.task_id = c.task_id
        offset 0
    ) t on true
$$;
comment on function tasker.judged_claims(jsonb) is
    'Claims in their order (n), with their steps as they are now. '
    'lost: why a claim no longer counts: stale, or cancelled; null: it counts.';
