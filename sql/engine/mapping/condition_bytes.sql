create function tasker.condition_bytes(p_task_id uuid, p_condition jsonb) returns bigint
language plpgsql stable as $$
declare
    v_names    text[] := coalesce((p_condition ->> 'names')::text[], '{}');
    v_batches  text[] := coalesce((p_condition ->> 'batches')::text[], '{}');
    v_task     record;
    v_most     bigint;
begin
    select
        case
            when p_condition ? 'context' then coalesce(
                t.context_bytes, octet_length(t.context::text))
            else 0
        end as context,
        t.largest_result
    into v_task
    from tasker.tasks t
    where t.task_id = p_task_id;

    -- Mostly the largest result, for each of them, is little enough.
    v_most := v_task.context + v_task.largest_result * cardinality(v_names);
    if v_names = '{}' or v_batches = '{}' and v_most <= (p_condition ->> 'bytes')::bigint then
        return v_most;
    end if;
    return v_task.context + tasker.named_bytes(p_task_id, v_names, v_batches);
end
$$;
comment on function tasker.condition_bytes(uuid, jsonb) is
    'Bytes, as text, of the context and the results that a condition names, at most.';
