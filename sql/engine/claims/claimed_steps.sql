create function tasker.claimed_steps(
    p_task_ids  uuid[],
    p_steps     text[],
    p_expired   bigint[] default null
)
returns setof tasker.claim
-- Stable, in SQL, and without settings of its own, so that it becomes part of the statement that
-- calls it.
language sql stable as $$
    with claimed as materialized (
        select
            step.task_id,
            step.name,
            task.template_id,
            step.template_step,
            tmpl.handler,
            step.attempt,
            step.claim_no,
            task.context,
            step.inputs,
            step.checkpoint,
            tmpl.timeout,
            task.correlation_id,
            task.traceparent,
            tmpl.lease,
            step.enqueued_at,
            step.started_at,
            step.msg_id,
            step.lease_losses,
            step.worker_losses,
            tmpl.parent_count,
            tmpl.after_batch,
            -- Results over the limit are not even put together.
            tmpl.parent_count::bigint * task.largest_result > 65536
                and tasker.parents_paged(
                    step.task_id,
                    task.template_id,
                    step.template_step,
                    tmpl.parent_count,
                    task.largest_result) as paged
        from unnest(p_task_ids, p_steps) ref(task_id, name)
        cross join lateral (
            select * from tasker.steps s
            where s.task_id = ref.task_id and s.name = ref.name offset 0
        ) step
        cross join lateral (
            select * from tasker.tasks t where t.task_id = ref.task_id offset 0
        ) task
        cross join lateral tasker.template_step(task.template_id, step.template_step) tmpl
    ), before as materialized (
        select claimed.task_id, batch.child, batch.parent
        from claimed
        cross join lateral tasker.batches_before(claimed.task_id, claimed.name) batch
        where claimed.after_batch
    ), batches as materialized (
        -- Once for each batch, however many steps come after it.
        select b.task_id, b.parent, tasker.batch_summary(b.task_id, b.parent) as summary
        from (select distinct before.task_id, before.parent from before) b
    )
    select
        claimed.task_id,
        claimed.name,
        claimed.template_id,
        claimed.template_step,
        claimed.handler,
        claimed.attempt,
        claimed.claim_no,
        claimed.context,
        claimed.inputs,
        case
            when claimed.paged then null
            when claimed.after_batch then coalesce(parents.results, '{}') || coalesce((
                select jsonb_object_agg(batches.parent, batches.summary)
                from before
                join batches
                  on batches.task_id = before.task_id
                 and batches.parent = before.parent
                where before.task_id = claimed.task_id
                  and before.child = claimed.template_step), '{}')
            else coalesce(parents.results, '{}')
        end,
        claimed.checkpoint,
        claimed.timeout,
        claimed.correlation_id,
        claimed.traceparent,
        claimed.lease,
        claimed.enqueued_at,
        claimed.started_at,
        coalesce(claimed.msg_id = any (p_expired), false),
        claimed.lease_losses,
        claimed.worker_losses >= 2
    from claimed
    cross join lateral tasker.documents_of_parents(
        claimed.task_id,
        claimed.template_id,
        claimed.template_step,
        claimed.parent_count > 0 and not claimed.paged) parents
$$;
comment on function tasker.claimed_steps(uuid[], text[], bigint[]) is
    'The data that a worker gets with the steps it has just claimed. '
    'p_expired: the messages whose previous claim ran out of its lease. '
    'parents is null if they are over max_claim_bytes: read them with parent_results.';
