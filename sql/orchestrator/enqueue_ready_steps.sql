create function tasker.enqueue_ready_steps(p_max int, p_orchestrator_id uuid default null)
returns table (enqueued int, next_due_ms bigint)
language plpgsql volatile security definer set search_path = '' set plan_cache_mode = force_generic_plan set enable_seqscan = off set jit = off as $$
declare
    v_now       timestamptz := tasker.clock();
    v_task_ids  uuid[];
    v_steps     text[];
begin
    perform tasker.check_max(p_max);
    perform tasker.set_actor(p_orchestrator_id);
    -- At most 100 tasks a transaction, and none that somebody holds, so that this never blocks the hot path.
    select array_agg(distinct d.task_id) into v_task_ids
      from (select r.task_id from tasker.ready_steps r where r.available_at <= v_now order by r.priority desc, r.available_at limit p_max) d;
    with free as materialized (
        select t.task_id from tasker.tasks t
         where t.task_id = any (v_task_ids) order by t.task_id limit 100 for no key update skip locked
    )
    select array_agg(f.task_id) into v_task_ids from free f;
    with due as materialized (
        select r.task_id, r.step from unnest(v_task_ids) i(task_id)
         cross join lateral (select * from tasker.ready_steps r where r.task_id = i.task_id and r.available_at <= v_now offset 0) r
         order by r.priority desc, r.available_at limit p_max
    ), moved as (
        update tasker.steps s
           set state = 'enqueued', available_at = null, enqueued_at = v_now, updated_at = v_now
          from due d
         where s.task_id = d.task_id and s.name = d.step and s.state = 'pending'
        returning s.task_id, s.name, s.error is not null as is_retry
    ), counted as (
        select m.task_id, count(*) as n, count(*) filter (where m.is_retry) as retries from moved m group by m.task_id
    ), evaluated as (
        update tasker.tasks t
           set active = t.active + c.n, waiting_retry = t.waiting_retry - c.retries, held = t.held - (c.n - c.retries),
               state = 'steps_in_process', move_no = t.move_no + 1, updated_at = v_now,
               via = case when t.state = 'waiting_for_retry' then '{enqueuing_steps}' else '{evaluating_results,enqueuing_steps}' end::tasker.task_state[]
          from counted c
         where t.task_id = c.task_id
    )
    select array_agg(m.task_id), array_agg(m.name) into v_task_ids, v_steps from moved m;
    perform tasker.send_steps(v_task_ids, v_steps);
    enqueued := coalesce(cardinality(v_task_ids), 0);
    -- The first in the index, not a minimum over all that wait.
    select tasker.ms_until((select r.available_at from tasker.ready_steps r where r.available_at is not null order by r.available_at limit 1))
      into next_due_ms;
    return next;
end
$$;
comment on function tasker.enqueue_ready_steps(int, uuid) is 'Sends up to p_max ready steps whose time has come: retries, tasks with a start time, released steps; by priority. next_due_ms: until the next one, null where none is known.';
