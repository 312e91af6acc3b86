create function tasker.claimed_steps(p_task_ids uuid[], p_steps text[])
returns table (task_id uuid, step text, template_id uuid, template_step text, handler text, attempt int, claim_no int, context jsonb,
               inputs jsonb, parents jsonb, checkpoint jsonb, timeout interval, correlation_id uuid, traceparent text, lease interval, enqueued_at timestamptz, claimed_at timestamptz)
-- Stable, in SQL, and without settings of its own, so that it becomes part of the statement that calls it.
language sql stable as $$
    with before as materialized (
        -- Read only where a step comes after a batch.
        select c.task_id, a.child, a.parent from unnest(p_task_ids, p_steps) c(task_id, step) cross join lateral tasker.batches_before(c.task_id, c.step) a
    ), batches as materialized (
        -- Once for each batch, however many steps come after it.
        select d.task_id, d.parent, tasker.batch_summary(d.task_id, d.parent) as summary from (select distinct b.task_id, b.parent from before b) d
    )
    select s.task_id, s.name, t.template_id, s.template_step, p.handler, s.attempt, s.claim_no, t.context, s.inputs,
           case when not g.paged then
               coalesce(case when p.parent_count > 0 then (
                            select jsonb_object_agg(q.name, q.result)
                              from tasker.template_edges e
                              join tasker.steps q on q.task_id = c.task_id and q.name = e.parent
                             where e.template_id = t.template_id and e.child = s.template_step and q.satisfied) end, '{}')
               || coalesce(b.batches, '{}') end, s.checkpoint, p.timeout, t.correlation_id, t.traceparent, p.lease, s.enqueued_at, s.started_at
      from unnest(p_task_ids, p_steps) c(task_id, step)
     cross join lateral (select * from tasker.steps s where s.task_id = c.task_id and s.name = c.step offset 0) s
     cross join lateral (select * from tasker.tasks t where t.task_id = c.task_id offset 0) t
     cross join lateral (select * from tasker.template_steps p where p.template_id = t.template_id and p.name = s.template_step offset 0) p
     -- Results over the limit are not even put together.
     cross join lateral (select case when p.parent_count::bigint * t.largest_result <= 65536 then false
                                     else tasker.parents_paged(c.task_id, t.template_id, s.template_step, p.parent_count, t.largest_result) end as paged offset 0) g
      left join lateral (select jsonb_object_agg(m.parent, m.summary) as batches
                           from before d join batches m on m.task_id = d.task_id and m.parent = d.parent
                          where d.task_id = c.task_id and d.child = s.template_step) b on p.after_batch
$$;
comment on function tasker.claimed_steps(uuid[], text[]) is 'What a worker is told about steps it has just claimed. parents is null where they are over max_claim_bytes: to be read by parent_results.';
