create function tasker.process_results_batch(
    p_msg_ids   bigint[],
    p_messages  jsonb[],
    p_wait      boolean default true,
    p_large     boolean default true
)
returns table (
    enqueued     int,
    finished     int,
    next_due_ms  bigint,
    retried      int,
    failed       int,
    expired      int
)
-- The phases and their order are in docs/decisions.md, "A results batch". Arrays carry rows from
-- one phase to the next.
language plpgsql volatile as $$
declare
    v_now       timestamptz := tasker.clock();
    v_settled   tasker.settled_step[];
    v_failures  record;
    v_held      int;
begin
    -- 1 to 3, in settle_results: read the messages, lock the tasks, settle the steps.
    v_settled := tasker.settle_results(p_msg_ids, p_messages, p_wait, p_large, v_now);

    -- The unfinished steps of a task that fails are cancelled before the task is counted.
    v_failures := tasker.find_failures(v_settled);
    if cardinality(v_failures.failing) > 0 then
        perform tasker.cancel_failing_tasks(v_failures.failing);
    end if;

    -- 4 to 7, in advance_tasks: count down the children, make the new instances, update the tasks,
    -- and send what is ready.
    select a.enqueued, a.held, a.finished
    into enqueued, v_held, finished
    from tasker.advance_tasks(v_settled, v_now, v_failures.failing) a;

    -- A step that has failed may stop its batch.
    if v_failures.any_failed then
        perform tasker.stop_batches(v_settled, v_failures.failing, v_now);
    end if;
    if v_failures.task_ids is not null then
        perform tasker.add_task_dead_letters(
            v_failures.task_ids, v_failures.reasons, v_failures.steps, v_failures.details);
    end if;

    select
        c.retried,
        c.failed,
        c.expired,
        -- A step that is held may have its turn at once.
        case when v_held > 0 then 0 else c.next_due_ms end
    into retried, failed, expired, next_due_ms
    from tasker.count_outcomes(v_settled) c;
    return next;
end
$$;
comment on function tasker.process_results_batch(bigint[], jsonb[], boolean, boolean) is
    'The work of process_step_results for one batch, all or nothing. '
    'p_wait: waits for locked tasks, else their messages come again later; p_large: allows a '
    'result that is to be processed alone, else such a batch is refused (54000). '
    'expired: failed steps that lost too many claims.';
