-- for: client, operator
create function tasker.enqueue_tasks(
    p_namespace  text,
    p_name       text,
    p_contexts   jsonb[]
)
returns setof uuid
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_template_id  uuid := tasker.find_template(p_namespace, p_name, null);
    v_now          timestamptz := tasker.clock();
    v_limits       tasker.settings := (select s from tasker.settings s);
    v_bad          bigint;
    v_bytes        bigint;
    v_all          bigint;
    v_context      jsonb;
    v_task_ids     uuid[];
begin
    if cardinality(p_contexts) > v_limits.max_contexts then
        perform tasker.refuse_too_much(
            'a call',
            cardinality(p_contexts),
            v_limits.max_contexts,
            'contexts',
            'max_contexts'
        );
    end if;

    select c.n, c.context
    into v_bad, v_context
    from unnest(p_contexts) with ordinality c(context, n)
    where coalesce(jsonb_typeof(c.context), 'null') <> 'object'
    order by c.n
    limit 1;
    if v_bad is not null then
        raise exception
            'the context of a task must be a JSON object; number % is %',
            v_bad,
            tasker.excerpt(v_context)
            using errcode = 'TK005',
                  hint = 'No task was enqueued. Pass objects such as ''{"order_id": 7}''.';
    elsif coalesce(cardinality(p_contexts), 0) = 0 then
        return;
    end if;

    select max(b.bytes), sum(b.bytes)
    into v_bytes, v_all
    from (
        select case
            when pg_column_size(c) > 80 then tasker.json_bytes(c, v_limits.max_context_bytes)
            else 0
        end as bytes
        from unnest(p_contexts) c
    ) b;
    if v_bytes > v_limits.max_context_bytes then
        perform tasker.refuse_too_much(
            'a context',
            v_bytes,
            v_limits.max_context_bytes,
            'bytes',
            'max_context_bytes'
        );
    elsif v_all > v_limits.max_context_bytes * 64::bigint then
        perform tasker.refuse_too_much(
            'the contexts of a call',
            v_all,
            v_limits.max_context_bytes * 64::bigint,
            'bytes',
            '64 times max_context_bytes'
        );
    end if;

    v_task_ids := array(select tasker.new_id() from generate_series(1, cardinality(p_contexts)));
    insert into tasker.tasks (
        task_id,
        template_id,
        namespace,
        name,
        correlation_id,
        context,
        context_bytes,
        created_at,
        updated_at
    )
    select
        i.task_id,
        v_template_id,
        p_namespace,
        p_name,
        i.task_id,
        i.context,
        octet_length(i.context::text),
        v_now,
        v_now
    from unnest(v_task_ids, p_contexts) i(task_id, context);

    perform pgmq.send_batch(
        'orchestration_task_requests',
        array(select jsonb_build_object('task_id', i) from unnest(v_task_ids) i),
        array(select jsonb_build_object('correlation_id', i) from unnest(v_task_ids) i)
    );
    if v_limits.notify_on_enqueue then
        perform tasker.notify_queue('orchestration_task_requests');
    end if;
    return query select unnest(v_task_ids);
end
$$;
comment on function tasker.enqueue_tasks(text, text, jsonb[]) is
    'Starts a task for each context, all or none, in the caller''s transaction; '
    'returns their ids in order. Errors: TK001, TK002, TK005, TK019 over a limit.';
