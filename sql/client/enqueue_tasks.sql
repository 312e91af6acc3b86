create function tasker.enqueue_tasks(p_namespace text, p_name text, p_contexts jsonb[]) returns setof uuid
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_template_id  uuid := tasker.find_template(p_namespace, p_name, null);
    v_now          timestamptz := tasker.clock();
    v_bad          bigint;
    v_task_ids     uuid[];
begin
    select min(c.n) into v_bad from unnest(p_contexts) with ordinality c(context, n) where coalesce(jsonb_typeof(c.context), 'null') <> 'object';
    if v_bad is not null then
        raise exception 'the context of a task must be a JSON object; number % is %', v_bad, coalesce(left(p_contexts[v_bad]::text, 100), 'null')
            using errcode = 'TK005', hint = 'No task was enqueued. Pass objects such as ''{"order_id": 7}''.';
    elsif coalesce(cardinality(p_contexts), 0) = 0 then
        return;
    end if;
    v_task_ids := array(select tasker.new_id() from generate_subscripts(p_contexts, 1));
    insert into tasker.tasks (task_id, template_id, namespace, name, correlation_id, context, created_at, updated_at)
    select i.task_id, v_template_id, p_namespace, p_name, i.task_id, i.context, v_now, v_now
      from unnest(v_task_ids, p_contexts) i(task_id, context);
    perform pgmq.send_batch('orchestration_task_requests',
        array(select jsonb_build_object('task_id', i) from unnest(v_task_ids) i),
        array(select jsonb_build_object('correlation_id', i) from unnest(v_task_ids) i));
    if (select s.notify_on_enqueue from tasker.settings s) then
        perform tasker.notify_queue('orchestration_task_requests');
    end if;
    return query select unnest(v_task_ids);
end
$$;
comment on function tasker.enqueue_tasks(text, text, jsonb[]) is 'Starts a task for each context, all or none, in the caller''s transaction; returns their ids in order. Errors: TK001, TK002, TK005.';
