create function tasker.find_claims(
    p_queue     text,
    p_msg_ids   bigint[],
    p_messages  jsonb[],
    p_handlers  text[],
    p_old_ids   bigint[]
)
returns tasker.found_claim[]
language plpgsql volatile as $$
declare
    v_batch   int;
    v_inline  int;
    v_found   tasker.found_claim[];
begin
    select settings.max_result_bytes, settings.max_inline_results
    into v_batch, v_inline
    from tasker.settings;

    with refs as (
        select
            given.task_id,
            given.message ->> 'step' as name,
            given.msg_id,
            coalesce(given.old_id, given.msg_id) as old_id
        from unnest(
            p_msg_ids,
            p_messages,
            tasker.to_uuids(array(select message ->> 'task_id' from unnest(p_messages) message)),
            p_old_ids
        ) given(msg_id, message, task_id, old_id)
    )
    select array_agg(row(
        refs.msg_id,
        refs.old_id,
        step.task_id,
        step.name,
        task.template_id,
        step.template_step,
        task.namespace,
        tmpl.handler,
        tmpl.lease,
        step.state,
        -- The state decides: enqueued is claimed; in progress under this very message is a lease
        -- that ran out. A message in the queue of another namespace claims nothing: a worker
        -- there would delete the wrong one.
        (step.state = 'enqueued' or step.state = 'in_progress' and step.msg_id = refs.old_id)
            and tasker.worker_queue(task.namespace) = p_queue,
        task.completed_at is not null,
        -- What is only to be ended needs no handler.
        task.completed_at is not null or tasker.has_handler(p_handlers, tmpl.handler),
        step.alone,
        step.lease_losses,
        step.worker_losses,
        step.worker_id,
        step.started_at,
        coalesce(task.context_bytes, octet_length(task.context::text))::bigint
            + coalesce(octet_length(step.inputs::text), 0)
            + coalesce(octet_length(step.checkpoint::text), 0),
        tmpl.parent_count::bigint * task.largest_result,
        -- A summary holds the results of a batch where they are few and small.
        case
            when tmpl.after_batch then tmpl.parent_count
                * (least(v_batch, v_inline::bigint * task.largest_result) + 200)
            else 0
        end
            + tasker.mapping_bytes(
                tmpl.inputs_bytes,
                tmpl.inputs_paths,
                coalesce(task.context_bytes, octet_length(task.context::text)),
                tmpl.parent_count::bigint * case
                    when tmpl.after_batch then v_batch
                    else task.largest_result
                end,
                v_batch),
        tmpl.inputs is not null)::tasker.found_claim)
    into v_found
    from refs
    -- The queue's rows are held already, so steps are taken skip locked: this never waits.
    cross join lateral (
        select *
        from tasker.steps step
        where step.task_id = refs.task_id
          and step.name = refs.name
        for no key update skip locked
    ) step
    cross join lateral (
        select *
        from tasker.tasks task
        where task.task_id = refs.task_id
        offset 0
    ) task
    cross join lateral tasker.template_step(task.template_id, step.template_step) tmpl;
    return v_found;
end
$$;
comment on function tasker.find_claims(text, bigint[], jsonb[], text[], bigint[]) is
    'Locks the steps that the messages just read refer to, except those locked by others, and '
    'examines each. Null: no such step.';
