create function tasker.find_claims(p_queue text, p_msg_ids bigint[], p_messages jsonb[], p_handlers text[], p_old_ids bigint[], p_max int, p_room bigint)
returns table (msg_id bigint, old_id bigint, task_id uuid, name text, state tasker.step_state, alone boolean, lease_losses int, worker_losses int,
               worker_id uuid, started_at timestamptz, task_finished boolean,
               namespace text, handler text, lease interval, own bigint, bytes bigint, too_large boolean, verdict text)
-- Few by the plan of whoever calls this, as arrays are.
language plpgsql volatile rows 10 as $$
declare
    v_most    bigint;
    v_batch   int;
    v_inline  int;
begin
    select c.max_claim_bytes, c.max_result_bytes, c.max_inline_results into v_most, v_batch, v_inline from tasker.settings c;
    -- Queue rows are held already, so steps are taken skip locked: this never waits. The state decides:
    -- enqueued is claimed; in progress under this very message is a lease that ran out.
    return query
    with refs as (
        select m.task_id, m.message ->> 'step' as name, m.msg_id, coalesce(m.old_id, m.msg_id) as old_id
          from unnest(p_msg_ids, p_messages, tasker.to_uuids(array(select m ->> 'task_id' from unnest(p_messages) m)), p_old_ids)
               m(msg_id, message, task_id, old_id)
    ), found as materialized (
        select r.msg_id, r.old_id, s.task_id, s.name, s.state, s.alone, s.lease_losses, s.worker_losses, s.worker_id, s.started_at, s.template_step,
               -- A message in the queue of another namespace claims nothing: a worker there would delete the wrong one.
               (s.state = 'enqueued' or (s.state = 'in_progress' and s.msg_id = r.old_id)) and t.queue = p_queue as live,
               t.task_finished, t.lease, t.namespace, t.handler, t.template_id, t.parents, t.summaries,
               t.context_bytes + coalesce(octet_length(s.inputs::text), 0)::bigint + coalesce(octet_length(s.checkpoint::text), 0) as own,
               -- What is only to be ended needs no handler.
               t.task_finished or tasker.has_handler(p_handlers, t.handler) as fits
          from refs r
         cross join lateral (select * from tasker.steps s where s.task_id = r.task_id and s.name = r.name for no key update skip locked) s
         cross join lateral (select t.completed_at is not null as task_finished, tasker.worker_queue(t.namespace) as queue, t.namespace, t.template_id,
                                    coalesce(t.context_bytes, octet_length(t.context::text)) as context_bytes, p.lease, p.handler,
                                    p.parent_count::bigint * t.largest_result as parents,
                                    -- Of batches, whose few and small results are among it.
                                    case when p.after_batch then p.parent_count * (least(v_batch, v_inline::bigint * t.largest_result) + 200) else 0 end as summaries
                               from tasker.tasks t join tasker.template_steps p on p.template_id = t.template_id and p.name = s.template_step
                              where t.task_id = s.task_id offset 0) t
    ), finished as materialized (
        -- A step of a finished task is cancelled, but not while somebody is about to let the task go on.
        select t.task_id
          from (select distinct f.task_id from found f where f.live and f.task_finished) f
         cross join lateral (select * from tasker.tasks t where t.task_id = f.task_id and t.completed_at is not null for share skip locked) t
    ), once as materialized (
        -- A step may have been sent twice: one message claims it, the others are dropped.
        select distinct on (f.task_id, f.name) f.*, not f.task_finished and f.own > v_most as too_large from found f
         where f.live and (not f.task_finished or f.task_id in (select n.task_id from finished n))
         order by f.task_id, f.name, f.msg_id
    ), sized as (
        -- What the results of parents have at most, and only where that is too much what they have. Those over the limit come by pages.
        select o.*, case when o.task_finished or o.too_large then 0
                         when sum(o.own + o.parents + o.summaries) over () <= coalesce(p_room, v_most) then o.own + o.parents + o.summaries
                         else o.own + o.summaries + (select case when o.own + b.bytes <= v_most then b.bytes else 0 end
                                         from tasker.parent_bytes(o.task_id, o.template_id, o.template_step) b(bytes)) end as bytes
          from once o where o.fits
    )
    select z.msg_id, z.old_id, z.task_id, z.name, z.state, z.alone, z.lease_losses, z.worker_losses, z.worker_id, z.started_at, z.task_finished, z.namespace, z.handler, z.lease, z.own, z.bytes, z.too_large,
           case when (p_max is null or row_number() over w <= p_max)
                     and (sum(z.bytes) over w <= coalesce(p_room, v_most) or p_room is null and row_number() over w = 1) then 'claim' else 'back' end
      from sized z window w as (order by z.msg_id)
    union all
    select o.msg_id, o.old_id, o.task_id, o.name, o.state, null, null, null, null, null, null, o.namespace, o.handler, null, null, null, null, 'park' from once o where not o.fits
    union all
    select r.msg_id, null, r.task_id, r.name, null, null, null, null, null, null, null, null, null, null, null, null, null, 'held' from refs r
     where not exists (select from found f where f.msg_id = r.msg_id
                          and (not (f.live and f.task_finished) or f.task_id in (select n.task_id from finished n)))
       and exists (select from tasker.steps s where s.task_id = r.task_id and s.name = r.name);
end
$$;
comment on function tasker.find_claims(text, bigint[], jsonb[], text[], bigint[], int, bigint) is 'Locks the steps that messages just read refer to, and says what is to be done: claim; back (more than the claimer wants, or than an answer may have: it stays in the queue); park (the claimer lacks its handler); held (somebody else has it at this moment). Messages not among them are of no use.';
