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
    v_template     record := tasker.find_template(p_namespace, p_name, null);
    v_given        jsonb[];
    v_bytes        bigint;
    v_limits       tasker.settings := (select s from tasker.settings s);
    v_count        int := coalesce(cardinality(p_contexts), 0);
    v_task_ids     uuid[];
begin
    if v_count > v_limits.max_contexts then
        perform tasker.refuse_too_much(
            'a call', v_count, v_limits.max_contexts, 'contexts', 'max_contexts');
    elsif v_count = 0 then
        return;
    end if;
    if v_template.defaults is not null then
        v_bytes := octet_length(v_template.defaults::text)::bigint * v_count;
        if v_bytes > v_limits.max_context_bytes * 64::bigint then
            perform tasker.refuse_too_much(
                'the defaults of the contexts of a call',
                v_bytes,
                v_limits.max_context_bytes * 64::bigint,
                'bytes',
                '64 times max_context_bytes');
        end if;
        v_given := p_contexts;
        p_contexts := array(
            select tasker.with_defaults(c.context, v_template.defaults)
            from unnest(p_contexts) with ordinality c(context, n)
            order by c.n
        );
    end if;
    perform tasker.check_contexts(p_contexts, v_limits.max_context_bytes);

    v_task_ids := array(select tasker.new_id() from generate_series(1, v_count));
    perform tasker.insert_tasks(
        v_task_ids, p_contexts, v_template.template_id, p_namespace, p_name, p_given => v_given);

    perform pgmq.send_batch(
        'orchestration_task_requests',
        array(select jsonb_build_object('task_id', i) from unnest(v_task_ids) i),
        array(select jsonb_build_object('correlation_id', i) from unnest(v_task_ids) i),
        clock_timestamp());
    if v_limits.notify_on_enqueue then
        perform tasker.notify_queue('orchestration_task_requests');
    end if;
    return query select unnest(v_task_ids);
end
$$;
comment on function tasker.enqueue_tasks(text, text, jsonb[]) is
    'Starts a task for each context, all or none, in the caller''s transaction; '
    'returns their ids in order. Errors: TK001, TK002, TK005, TK019 over a limit.';
