create function tasker.settle_free_steps(
    p_results     jsonb,
    p_task_ids    uuid[],
    p_steps       text[],
    p_claim_nos   int[],
    p_values      jsonb[],
    p_decided     jsonb[],
    p_now         timestamptz,
    out numbers   int[],
    out task_ids  uuid[],
    out msg_ids   bigint[],
    out settled   tasker.settled_step[]
)
language plpgsql volatile as $$
declare
    v_free       uuid[];
    v_templates  uuid[];
begin
    -- Tasks that nobody holds, so that this never waits; locked in one statement, read in the
    -- next. In a gated namespace an orchestrator decides what is sent.
    with free as materialized (
        select t.task_id, t.template_id
        from tasker.tasks t
        where t.task_id = any (p_task_ids)
          and t.completed_at is null
          and t.namespace not in (select g.namespace from tasker.every_gated_namespace g)
        order by t.task_id
        for no key update skip locked
    )
    select array_agg(f.task_id), array_agg(f.template_id)
    into v_free, v_templates
    from free f;

    -- Take those steps that nobody holds either: a transaction that has submitted one holds it.
    with held as materialized (
        select r.*
        from (
            select distinct on (i.task_id, i.step) i.*, f.template_id
            from unnest(p_task_ids, p_steps, p_claim_nos, p_values, p_decided)
                with ordinality i(task_id, step, claim_no, result, decided, n)
            join unnest(v_free, v_templates) f(task_id, template_id) on f.task_id = i.task_id
            where i.result is not null
            order by i.task_id, i.step, i.n
        ) r
        cross join lateral (
            select
            from tasker.steps s
            where s.task_id = r.task_id
              and s.name = r.step
              and s.claim_no = r.claim_no
              and s.state = 'in_progress'
            for no key update skip locked
        ) s
    ), done as (
        update tasker.steps s
        set state = 'complete',
            satisfied = true,
            result = r.result,
            result_bytes = octet_length(r.result::text),
            decided = r.decided,
            error = null,
            completed_at = p_now,
            updated_at = p_now,
            duration_ms = tasker.to_count(p_results #> array[(r.n - 1)::text, 'duration_ms'])
        from held r
        where s.task_id = r.task_id
          and s.name = r.step
          and s.claim_no = r.claim_no
          and s.state = 'in_progress'
          and s.decides = (r.decided is not null)
        returning
            r.n::int,
            s.task_id,
            r.template_id,
            s.name,
            s.template_step,
            s.state,
            s.msg_id,
            s.decides,
            s.reveals,
            s.result_bytes
    )
    select
        array_agg(d.n),
        array_agg(d.task_id),
        array_agg(d.msg_id),
        array_agg(row(
            d.task_id, d.template_id, d.name, d.template_step, d.state, null, null, true,
            d.decides, d.reveals, d.result_bytes)::tasker.settled_step)
    into numbers, task_ids, msg_ids, settled
    from done d;
end
$$;
comment on function tasker.settle_free_steps(
    jsonb, uuid[], text[], int[], jsonb[], jsonb[], timestamptz
) is
    'Stores successes and decisions for steps that this claim still holds, if neither the step nor '
    'its task is locked, and completes the steps. numbers: those of the results, from 1.';
