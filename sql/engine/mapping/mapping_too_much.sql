create function tasker.mapping_too_much(p_task_id uuid, p_mapping jsonb) returns jsonb
language plpgsql stable as $$
declare
    v_names    text[] := (p_mapping ->> 'names')::text[];
    v_batches  text[] := coalesce((p_mapping ->> 'batches')::text[], '{}');
    v_limit    bigint;
    v_summary  bigint;
    v_bytes    bigint;
begin
    select c.max_claim_bytes, c.max_result_bytes + 200
    into v_limit, v_summary
    from tasker.settings c;
    if (select t.largest_result from tasker.tasks t where t.task_id = p_task_id)::bigint
        * cardinality(v_names) + v_summary * cardinality(v_batches) <= v_limit
    then
        return null;
    end if;

    v_bytes := tasker.named_bytes(p_task_id, v_names, v_batches);
    if v_bytes <= v_limit then
        return null;
    end if;
    return tasker.mapping_error('input_too_large', format(
        'the results that its paths name have %s bytes; they may have %s '
        '(max_claim_bytes in tasker.settings)',
        v_bytes, v_limit));
end
$$;
comment on function tasker.mapping_too_much(uuid, jsonb) is
    'An error where the results that a mapping looks into are more than a claim may have.';
