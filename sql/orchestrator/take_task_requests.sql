create function tasker.take_task_requests(p_max int, p_orchestrator_id uuid default null)
returns table (msg_id bigint, task_id uuid, template_id uuid, context jsonb)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off set jit = off as $$
declare
    v_msg_ids   bigint[];
    v_messages  jsonb[];
    v_task_ids  uuid[];
    v_dead      bigint[];
begin
    perform tasker.check_max(p_max);
    -- A request stays in the queue, unseen for 30 seconds, until initialize_tasks removes it.
    select array_agg(m.msg_id), array_agg(m.message), tasker.to_uuids(array_agg(m.message ->> 'task_id'))
      into v_msg_ids, v_messages, v_task_ids
      from pgmq.read('orchestration_task_requests', 30, p_max) m;
    if v_msg_ids is null then
        return;
    end if;
    -- Of no task: a foreign message goes to the dead letters. Of a task that has begun: a repetition, just removed.
    with known as materialized (
        select r.msg_id, r.message, t.state
          from unnest(v_msg_ids, v_messages, v_task_ids) r(msg_id, message, task_id)
          left join lateral (select t.state from tasker.tasks t where t.task_id = r.task_id offset 0) t on true
    ), kept as (
        select tasker.dead_letter('orchestration_task_requests', k.msg_id, k.message, 'a task request must name a known task: {"task_id": …}')
          from known k where k.state is null
    )
    select array_agg(k.msg_id) into v_dead from known k where (k.state is null or k.state <> 'pending') and (select count(*) from kept) >= 0;
    if v_dead is not null then
        perform pgmq.delete('orchestration_task_requests', v_dead);
    end if;
    return query
        select r.msg_id, t.task_id, t.template_id, case when v.input_schema is not null then t.context end
          from unnest(v_msg_ids, v_task_ids) r(msg_id, task_id)
         cross join lateral (select * from tasker.tasks t where t.task_id = r.task_id offset 0) t
          join tasker.templates v on v.template_id = t.template_id
         where t.state = 'pending'
         order by r.msg_id;
end
$$;
comment on function tasker.take_task_requests(int, uuid) is 'Takes up to p_max requests for new tasks. context is null where the template has no input_schema: nothing to check. Answer with initialize_tasks within 30 seconds, else they are handed out again.';
