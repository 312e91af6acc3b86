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
    v_now         timestamptz := tasker.clock();
    v_task_ids    uuid[];
    v_steps       text[];
    v_claim_nos   int[];
    v_settled     tasker.settled_step[];
    v_failing     uuid[];
    v_held        int;
    v_dead_tasks  uuid[];
    v_dead_steps  text[];
    v_details     text[];
    v_reasons     text[];
    v_stopped     uuid[];
    v_free        uuid[];
begin
    -- 1. Read the messages.
    select
        tasker.to_uuids(array_agg(m.message ->> 'task_id')),
        array_agg(m.message ->> 'step'),
        tasker.to_ints(array_agg(m.message ->> 'claim_no'))
    into v_task_ids, v_steps, v_claim_nos
    from unnest(p_messages) m(message);

    -- 2. Lock the tasks, in order. Everything about a task is decided under its lock.
    if p_wait then
        perform 1
        from tasker.tasks t
        where t.task_id = any (v_task_ids)
        order by t.task_id
        for no key update;
    else
        v_free := tasker.lock_free_tasks(v_task_ids, true);
        if exists (
            select
            from tasker.tasks t
            where t.task_id = any (v_task_ids)
              and t.task_id <> all (coalesce(v_free, '{}'))
        ) then
            -- The results of tasks that somebody holds come again.
            select
                array_agg(m.msg_id),
                array_agg(m.message),
                array_agg(m.task_id),
                array_agg(m.step),
                array_agg(m.claim_no)
            into p_msg_ids, p_messages, v_task_ids, v_steps, v_claim_nos
            from unnest(p_msg_ids, p_messages, v_task_ids, v_steps, v_claim_nos)
                m(msg_id, message, task_id, step, claim_no)
            where m.task_id = any (v_free)
               or not tasker.postpone_result(m.message, m.task_id, m.step, v_now);
        end if;
    end if;

    -- 3. Settle the steps.
    v_settled := tasker.settle_steps(v_task_ids, v_steps, v_claim_nos, v_now);
    if not p_large and tasker.has_large_result(v_settled) then
        raise exception 'a result of this batch is to be processed alone'
            using errcode = 'program_limit_exceeded';
    end if;

    -- A message that settled nothing is a repetition, or outdated, or no result: the last goes to
    -- the dead letters.
    if cardinality(v_settled) is distinct from cardinality(p_msg_ids) then
        perform tasker.dead_letter(
            'orchestration_step_results',
            m.msg_id,
            m.message,
            'a result must be {"task_id","step","claim_no"} of a known step'
        )
        from unnest(p_msg_ids, p_messages, v_task_ids, v_steps, v_claim_nos)
            m(msg_id, message, task_id, step, claim_no)
        where m.claim_no is null
           or not exists (
                select
                from tasker.steps s
                where s.task_id = m.task_id
                  and s.name = m.step
           );
    end if;

    -- Find the tasks that fail now (on_failure: fail), and the steps that become dead letters:
    -- a step that ran out of attempts, and one that failed for good and blocks its task.
    select
        coalesce(array_agg(distinct s.task_id) filter (where v.on_failure = 'fail'), '{}'),
        array_agg(s.task_id) filter (where e.reason is not null),
        array_agg(s.step) filter (where e.reason is not null),
        array_agg(s.error ->> 'message') filter (where e.reason is not null),
        array_agg(e.reason) filter (where e.reason is not null)
    into v_failing, v_dead_tasks, v_dead_steps, v_details, v_reasons
    from unnest(v_settled) s
    join tasker.templates v on v.template_id = s.template_id
    cross join lateral (
        select
            case
                when (s.error ->> 'retryable')::boolean
                  or s.error ->> 'code' in ('lease_expired', 'worker_lost')
                    then 'max_retries_exceeded'
                when v.on_failure = 'block' then 'permanent_failure'
            end as reason
    ) e
    where s.state = 'error'
      and not s.satisfied;

    -- The unfinished steps of a task that fails are cancelled before the task is counted.
    if cardinality(v_failing) > 0 then
        perform tasker.cancel_steps(v_failing);
        delete from tasker.held_steps h
        where h.task_id = any (v_failing);
        perform tasker.unpark_steps(v_failing);
    end if;

    -- 4 to 7, in advance_tasks: count down the children, make the new instances, update the tasks,
    -- and send what is ready.
    select a.enqueued, a.held, a.finished
    into enqueued, v_held, finished
    from tasker.advance_tasks(v_settled, v_now, v_failing) a;

    -- A step that has failed may stop its batch.
    if exists (
        select
        from unnest(v_settled) s
        where s.state = 'error'
          and not s.satisfied
    ) then
        v_stopped := tasker.stop_batches(v_settled, v_failing, v_now);
        if v_stopped is not null then
            perform tasker.recount_tasks(v_stopped);
        end if;
    end if;

    if v_dead_tasks is not null then
        perform tasker.add_dead_letters(v_dead_tasks, v_reasons, v_dead_steps, v_details);
    end if;

    select
        -- A step that is held may have its turn at once.
        case when v_held > 0 then 0 else tasker.ms_until(min(s.available_at)) end,
        count(*) filter (where s.state = 'pending'),
        count(*) filter (where s.state = 'error'),
        count(*) filter (
            where s.state = 'error'
              and s.error ->> 'code' in ('lease_expired', 'worker_lost')
        )
    into next_due_ms, retried, failed, expired
    from unnest(v_settled) s;
    return next;
end
$$;
comment on function tasker.process_results_batch(bigint[], jsonb[], boolean, boolean) is
    'The work of process_step_results for one batch, all or nothing. '
    'p_wait: for tasks that somebody holds, else their messages come again later; '
    'p_large: also a result that is to be processed alone, else such a batch is refused (54000). '
    'expired: of the failed, those that lost too many claims.';
