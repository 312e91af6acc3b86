create function tasker.condition_value(p_task_id uuid, p_condition jsonb)
returns tasker.made_value
language plpgsql stable as $$
declare
    v_names   text[] := (p_condition ->> 'names')::text[];
    v_limit   bigint := (p_condition ->> 'bytes')::bigint;
    v_seen    record;
    v_errors  jsonb;
    v_made    tasker.made_value;
begin
    -- Nothing that a condition meets stops what else is in the batch.
    begin
        select
            t.bytes,
            case
                when t.bytes <= v_limit then jsonb_build_object('context', t.context)
                else '{}'
            end as object
        into v_seen
        from (
            select
                case when p_condition ? 'context' then t.context end as context,
                case
                    when not p_condition ? 'context' then 0
                    else coalesce(t.context_bytes, octet_length(t.context::text))
                end + coalesce((p_condition ->> 'constants_bytes')::int, 0) as bytes
            from tasker.tasks t
            where t.task_id = p_task_id
            offset 0
        ) t;
        if p_condition ?| '{task,constants}' then
            v_seen.object := v_seen.object || (
                select jsonb_build_object('task', p.task, 'constants', p.constants)
                from tasker.task_parts(p_task_id, p_condition) p
            );
        end if;
        if p_condition ? 'errors' then
            v_errors := tasker.step_errors(p_task_id, (p_condition ->> 'errors')::text[]);
            v_seen.bytes := v_seen.bytes + octet_length(v_errors::text);
            v_seen.object := v_seen.object || jsonb_build_object('errors', v_errors);
        end if;
        if v_names is not null then
            v_seen.bytes := v_seen.bytes + tasker.named_bytes(
                p_task_id, v_names, (p_condition ->> 'batches')::text[]);
            if v_seen.bytes <= v_limit then
                v_seen.object := v_seen.object || jsonb_build_object(
                    'parents',
                    tasker.step_results(
                        p_task_id, v_names, (p_condition ->> 'batches')::text[]));
            end if;
        end if;
        return tasker.object_verdict(v_seen.object, p_condition, v_seen.bytes);
    exception when others then
        if tasker.is_passing_error(sqlstate) and not tasker.may_divide(sqlstate, sqlerrm) then
            raise;
        end if;
        v_made.error := tasker.mapping_error('invalid_condition', format(
            'its condition %s cannot be judged: %s',
            left(p_condition ->> 'condition', 300),
            sqlerrm));
        return v_made;
    end;
end
$$;
comment on function tasker.condition_value(uuid, jsonb) is
    'Whether a condition, as compile_condition has written it, holds in a task as it is now: an '
    'answer of object_verdict.';
